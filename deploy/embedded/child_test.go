package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// The test binary runs itself again as the program that a test kills: childDir names its data directory, childLimit
// the largest file it may write, in bytes.
const (
	childDir   = "CPIS_EMBEDDED_CHILD_DIR"
	childLimit = "CPIS_EMBEDDED_CHILD_LIMIT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(runChild(dir))
	}
	goleak.VerifyTestMain(m)
}

// runChild serves dir until it is killed. Its first line says where, or why not.
func runChild(dir string) int {
	if text := os.Getenv(childLimit); text != "" {
		limit, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		signal.Ignore(syscall.SIGXFSZ) // or the first write over the limit kills instead of failing
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	s, err := Start(context.Background(), Config{Dir: dir, MinFree: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return 2
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a running copy of the test binary that serves a data directory.
type child struct {
	cmd *exec.Cmd
	System
}

// startChild returns when the child answers. It is killed at the end of the test if it still runs.
func startChild(t *testing.T, dir string, env ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("child said nothing: %v", err)
	}
	if err := json.Unmarshal(line, &c.System); err != nil {
		t.Fatal(err)
	}
	return c
}

// kill ends the child as a power switch would, and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // an error means it is gone already
	_ = c.cmd.Wait()         // always an error after a kill
}

// stop ends the child in an orderly way.
func (c *child) stop(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("orderly stop: %v", err)
	}
}
