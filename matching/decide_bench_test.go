package matching

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// crowd makes the n-th of many people, of names as common as there are.
func crowd(n int) schemas.Person {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	given, family := listed()
	p := schemas.Person{GivenNames: given[r.IntN(len(given))].Name, FamilyName: family[r.IntN(len(family))].Name, Sex: "F",
		DateOfBirth: schemas.Date(time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(6400)).Format(time.DateOnly)),
		Postcode:    fmt.Sprintf("A%c%d %dAA", 'A'+r.IntN(26), r.IntN(97), r.IntN(10))}
	for {
		if number, err := schemas.ParseNHSNumber(fmt.Sprintf("9%09d", r.IntN(1_000_000_000))); err == nil {
			p.Number = number
			return p
		}
	}
}

var listed = sync.OnceValues(func() (given, family []weigh.Share) {
	return weigh.Builtin().GivenShares("F", 0), weigh.Builtin().FamilyShares()
})

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
	m, err := New(Config{}, Sources{reader, d, NewDirectory(time.Hour), NewLinks(), nil, func(context.Context) (int64, error) { return int64(people), nil }, time.Now})
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
	var err error
	if i.SealedPerson, err = w.keys.SealPerson(schemas.TopicIndicator, i.Authority, string(i.Key()), p); err != nil {
		b.Fatal(err)
	}
	value, err := w.codec.Encode(schemas.TopicIndicator, i)
	if err != nil {
		b.Fatal(err)
	}
	return index.Change{Key: i.Key(), Value: value}
}
