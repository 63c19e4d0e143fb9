// Command cpis tells staff who register a child or a pregnant woman whether a
// local authority has shared a protection plan, and tells the authority that
// the person was seen. One binary holds every part of it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // days are civil days in London, on machines without zone files too
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
