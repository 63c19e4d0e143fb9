package matching

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"cpis/matching/index"
	"cpis/matching/weigh"
	"cpis/schemas"
)

// standing is an indicator topic that does not change.
type standing struct{ changes []index.Change }

func (s standing) Bounds(context.Context) (int64, int64, error) { return 0, int64(len(s.changes)), nil }

func (s standing) Read(ctx context.Context, from int64) (index.Page, error) {
	if from == int64(len(s.changes)) {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	until := min(from+5000, int64(len(s.changes)))
	return index.Page{Changes: s.changes[from:until], Next: until}, nil
}

// crowd makes the n-th of many people.
func crowd(n int) schemas.Person {
	given, family := weigh.Builtin().GivenShares("F", 0), weigh.Builtin().FamilyShares()
	at := time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n*7919%6400)
	stem := n * 37 % 1_000_000
	number := ""
	for check := range 10 {
		text := fmt.Sprintf("9%08d%d", (n*61_803_399+stem)%100_000_000, check)
		if _, err := schemas.ParseNHSNumber(text); err == nil {
			number = text
		}
	}
	p := schemas.Person{GivenNames: given[n*31%len(given)].Name, FamilyName: family[n*17%len(family)].Name + family[n%len(family)].Name, DateOfBirth: schemas.Date(at.Format(time.DateOnly)), Sex: "F",
		Postcode: fmt.Sprintf("A%c%d %dAA", 'A'+n%26, n%97, n%10)}
	if number != "" {
		p.Number, _ = schemas.ParseNHSNumber(number)
	}
	return p
}

// BenchmarkDecide decides with 20,000 protected people, or as many as
// CPIS_BENCH_PEOPLE says, in Redis where CPIS_REAL_REDIS names one. It reports
// how long the index took to build, and what Redis holds of each person.
func BenchmarkDecide(b *testing.B) {
	people := 20_000
	if n, err := strconv.Atoi(os.Getenv("CPIS_BENCH_PEOPLE")); err == nil {
		people = n
	}
	url := os.Getenv("CPIS_REAL_REDIS")
	if url == "" {
		url = "redis://" + miniredis.RunT(b).Addr() + "/0"
	}
	keys, err := schemas.OpenKeyring(b.TempDir(), true)
	if err != nil {
		b.Fatal(err)
	}
	codec, err := schemas.NewCodec(context.Background(), &schemas.MemoryRegistry{})
	if err != nil {
		b.Fatal(err)
	}
	w := &world{keys: keys, codec: codec, now: time.Now()}
	src := standing{}
	for n := range people {
		src.changes = append(src.changes, w.change(b, crowd(n)))
	}
	d := Describer{Keys: keys, Open: w.open}
	config := index.Config{URL: url}
	reader, err := index.OpenReader(config, keys)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = reader.Close() })
	_ = reader.Forget(context.Background())
	writer, err := index.OpenWriter(config, keys, d.Describe, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	began := time.Now()
	wait.Go(func() { _ = writer.Follow(ctx, src); _ = writer.Close() })
	b.Cleanup(func() { cancel(); wait.Wait() })
	for {
		if m, err := reader.Status(ctx); err == nil && m.Complete && m.Position == int64(people) {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	build := time.Since(began)
	m, err := New(Config{}, Sources{reader, d, NewDirectory(time.Hour), NewLinks(), func(context.Context) (int64, error) { return int64(people), nil }, time.Now})
	if err != nil {
		b.Fatal(err)
	}
	regs := make([]schemas.Registration, 50_000)
	for i := range regs { // one in fifty is protected
		n := people + i
		if i%50 == 0 {
			n = i % people
		}
		regs[i] = schemas.Registration{Person: crowd(n), NumberStatus: schemas.NumberVerified}
	}
	for _, batch := range []int{1, 500} {
		for name, of := range map[string]schemas.NumberStatus{"number": schemas.NumberVerified, "details": schemas.NumberAbsent} {
			b.Run(fmt.Sprintf("%s/%d", name, batch), func(b *testing.B) {
				asked := slices.Clone(regs)
				for i := range asked {
					asked[i].NumberStatus = of
				}
				var next, failed atomic.Int64
				var mu sync.Mutex
				var times []time.Duration
				var wait sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				workers := runtime.GOMAXPROCS(0)
				if batch == 1 {
					workers = 1
				}
				for range workers {
					wait.Go(func() {
						for {
							at := int(next.Add(1)) - 1
							if at >= b.N {
								return
							}
							from := at * batch % (len(asked) - batch)
							t := time.Now()
							for _, d := range m.Decide(context.Background(), asked[from:from+batch]) {
								if d.State == schemas.StateCheckFailed {
									failed.Add(1)
								}
							}
							mu.Lock()
							times = append(times, time.Since(t))
							mu.Unlock()
						}
					})
				}
				wait.Wait()
				slices.Sort(times)
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "decisions/s")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
				b.ReportMetric(float64(failed.Load()), "failed")
			})
		}
	}
	b.Logf("%d people: built in %s", people, build.Round(time.Millisecond))
}

func (w *world) change(b *testing.B, p schemas.Person) index.Change {
	i := schemas.Indicator{Authority: "E06A", PlanType: schemas.PlanChildProtection, PlanStart: "2026-01-01", Version: 1, Person: p, SubjectRef: w.keys.SubjectRef(p.Number), ReceivedAt: w.now, UploadID: "u"}
	if i.SubjectRef == "" {
		i.SubjectRef = w.keys.LocalRef("crowd", p.FamilyName+p.GivenNames+string(p.DateOfBirth))
	}
	var err error
	if i.SealedPerson, err = w.keys.SealPerson(schemas.TopicIndicator, string(i.Key()), p); err != nil {
		b.Fatal(err)
	}
	value, err := w.codec.Encode(schemas.TopicIndicator, i)
	if err != nil {
		b.Fatal(err)
	}
	return index.Change{Key: i.Key(), Value: value}
}
