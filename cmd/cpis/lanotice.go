package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cpis/connectors/notice"
	"cpis/schemas"
)

func (l *laShell) notices() *cobra.Command {
	var after string
	var wait, limit int
	c := &cobra.Command{
		Use: "notices", Short: "Fetch the authority's notices", Args: usage(cobra.NoArgs),
		Long: `Fetches notices, oldest first, and says at the end where to go on: give that as
--after the next time. Without --after it begins with the oldest that is kept,
30 days. With --json each line is a CloudEvent, and the cursor goes to standard
error.`,
		Example: "  cpis la notices --authority E09000019\n  cpis la notices --authority E09000019 --after 1042 --wait 30",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}, "wait": {strconv.Itoa(wait)}}
			if after != "" {
				q.Set("after", after)
			}
			var got notice.Fetched
			if err := l.ask(cmd, http.MethodGet, "notices", q, &got); err != nil {
				return err
			}
			if l.asJSON {
				enc := json.NewEncoder(l.out)
				for _, e := range got.Notices {
					if err := enc.Encode(e); err != nil {
						return err
					}
				}
				fmt.Fprintln(l.err, got.Cursor)
				return nil
			}
			t := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "NOTICE\tTYPE\tAT\tRECORDS\tWHERE\tWHAT TO DO")
			for _, e := range got.Notices {
				var records []string
				for _, r := range e.Data.Records {
					records = append(records, r.RecordID+" "+string(r.PlanType))
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s %s\t%s\n", e.ID, e.Type, moment(e.Data.At), strings.Join(records, ", "), e.Data.Organisation, e.Data.CareSetting, e.Data.Words)
			}
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(l.out, "%d notices; next time --after %s\n", len(got.Notices), got.Cursor)
			return nil
		},
	}
	c.Flags().StringVar(&after, "after", "", "where the last fetch ended")
	c.Flags().IntVar(&wait, "wait", 0, "seconds to wait for a notice, up to 55")
	c.Flags().IntVar(&limit, "limit", 100, "how many at most, up to 500")
	return c
}

func (l *laShell) answer() *cobra.Command {
	var says, by string
	c := &cobra.Command{
		Use: "answer NOTICE", Short: "Answer a notice: the care setting is told", Args: usage(cobra.ExactArgs(1)),
		Example: "  cpis la answer 4f0c… --authority E09000019 --says WILL_CALL --call-by 2026-11-25T16:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := l.client()
			if err != nil {
				return err
			}
			a := notice.Answered{Answer: schemas.Answer(strings.ToUpper(says))}
			if by != "" {
				at, err := time.Parse(time.RFC3339, by)
				if err != nil {
					return exit{exitUsage, fmt.Errorf("--call-by: want a time such as 2026-11-25T16:00:00Z")}
				}
				a.CallBy = &at
			}
			text, err := json.Marshal(a)
			if err != nil {
				return err
			}
			var got notice.Answered
			if err := client.Call(cmd.Context(), http.MethodPost, "notices/"+url.PathEscape(args[0])+"/answer", nil, "application/json", bytes.NewReader(text), &got); err != nil {
				return err
			}
			fmt.Fprintf(l.out, "answered %s: the care setting is told where it takes answers\n", got.Answer)
			return nil
		},
	}
	c.Flags().StringVar(&says, "says", "RECEIVED", "RECEIVED, WILL_CALL, CALL_US or NOT_OURS")
	c.Flags().StringVar(&by, "call-by", "", "with WILL_CALL, until when")
	return c
}
