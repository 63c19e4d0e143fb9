package router

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"cpis/schemas"
)

// simulatedStaff is a trust's people and how they look, invented: who, where, how often.
type simulatedStaff struct {
	rng   *rand.Rand
	looks []Look
	names []string
	at    time.Time
}

// days lets a trust work: five departments with a dozen people each, round the clock, and
// school nurses by day. Each department has two or three children with a plan in a day,
// each opened by one to three people; everybody types a number in vain now and then.
func (s *simulatedStaff) days(n int) {
	for day := range n {
		morning := s.at.AddDate(0, 0, day)
		for department := range 5 {
			place := fmt.Sprintf("RXX%02d/EMERGENCY_DEPARTMENT", department)
			for range 2 + s.rng.IntN(2) {
				child := schemas.SubjectRef(fmt.Sprint("child ", s.rng.IntN(400)))
				family := s.names[s.rng.IntN(len(s.names))]
				at := morning.Add(time.Duration(s.rng.IntN(24*60)) * time.Minute)
				for range 1 + s.rng.IntN(3) {
					w := department*12 + s.rng.IntN(12)
					s.looks = append(s.looks, Look{Worker: fmt.Sprint("w", w), Name: "X. " + s.names[w%len(s.names)], Organisation: "RXX", Place: place, Subject: child, Family: family, At: at})
					at = at.Add(time.Duration(1+s.rng.IntN(20)) * time.Minute)
				}
			}
			for w := range 12 {
				if s.rng.Float64() < 1.0/7 {
					s.looks = append(s.looks, Look{Worker: fmt.Sprint("w", department*12+w), Name: "X. Y", Organisation: "RXX", Vain: true, At: morning.Add(time.Duration(s.rng.IntN(24*60)) * time.Minute)})
				}
			}
		}
		for nurse := range 4 {
			for range s.rng.IntN(3) {
				s.looks = append(s.looks, Look{Worker: fmt.Sprint("school ", nurse), Name: "Z. Nurse", Organisation: "RXX", Place: "RXX09/SCHOOL_NURSING", Subject: schemas.SubjectRef(fmt.Sprint("child ", s.rng.IntN(400))), Silent: true, At: morning.Add(time.Duration(8*60+s.rng.IntN(9*60)) * time.Minute)})
			}
		}
	}
	if s.rng.IntN(10) == 0 { // once, somebody breaks the glass with good reason
		s.looks = append(s.looks, Look{Worker: "w1", Organisation: "RXX", Glass: true, At: s.at.AddDate(0, 0, 3)})
	}
}

func newStaff(seed uint64) *simulatedStaff {
	s := &simulatedStaff{rng: rand.New(rand.NewPCG(seed, 8)), at: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	for i := range 300 {
		s.names = append(s.names, fmt.Sprint("Family", i))
	}
	return s
}

// common has the names of the simulation common, and all others rare.
func common(family string) float64 {
	if len(family) > 6 && family[:6] == "Family" {
		return 0.003
	}
	return 0.00001
}

func watchThem(t *testing.T, looks []Look) []Odd {
	t.Helper()
	place, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	w := &Lookers{Place: place, Common: common}
	slices.SortStableFunc(looks, func(a, b Look) int { return a.At.Compare(b.At) })
	var out []Odd
	for _, l := range looks {
		out = append(out, w.Take(l)...)
	}
	return out
}

// TestATrawlerIsFoundAndNobodyElse mixes people who trawl into a trust at work: each is
// found before the twentieth child, by whatever rule, and nobody else is in thirty days.
func TestATrawlerIsFoundAndNobodyElse(t *testing.T) {
	for seed := range uint64(20) {
		s := newStaff(seed)
		s.days(30)
		if odd := watchThem(t, slices.Clone(s.looks)); len(odd) > 0 {
			t.Errorf("seed %d: a false alarm: %+v", seed, odd[0])
		}
		for name, trawl := range map[string]func(n int) Look{
			"at once":             func(n int) Look { return Look{Vain: true, At: s.at.Add(40*time.Hour + time.Duration(n)*time.Second)} },
			"one an hour":         func(n int) Look { return Look{Vain: true, At: s.at.Add(40*time.Hour + time.Duration(n)*time.Hour)} },
			"one a day":           func(n int) Look { return Look{Vain: true, At: s.at.Add(time.Duration(n) * 24 * time.Hour)} },
			"with a false reason": func(n int) Look { return Look{Glass: true, At: s.at.Add(40*time.Hour + time.Duration(n)*24*time.Hour)} },
			"through all answers": func(n int) Look {
				return Look{Place: "RXX01/EMERGENCY_DEPARTMENT", Subject: schemas.SubjectRef(fmt.Sprint("child ", n)), At: s.at.Add(time.Duration(40+n/2) * time.Hour)}
			},
			"through the settings": func(n int) Look {
				return Look{Place: fmt.Sprint("RXX0", n%8), Subject: schemas.SubjectRef(fmt.Sprint("child ", n)), At: s.at.Add(time.Duration(40+2*n) * time.Hour)}
			},
			"at night in school": func(n int) Look {
				return Look{Place: "RXX09/SCHOOL_NURSING", Subject: schemas.SubjectRef(fmt.Sprint("child ", n)), Silent: true, At: s.at.Add(time.Duration(24*n+23) * time.Hour)}
			},
			"their own family": func(n int) Look {
				return Look{Place: "RXX01/EMERGENCY_DEPARTMENT", Subject: "cousin", Family: "RARENAME", Name: "P. Rarename", At: s.at.Add(time.Duration(n) * 48 * time.Hour)}
			},
		} {
			looks := slices.Clone(s.looks)
			for n := range 20 {
				l := trawl(n)
				l.Worker, l.Organisation = "trawler", "RXX"
				if l.Name == "" {
					l.Name = "T. Rawler"
				}
				looks = append(looks, l)
			}
			last := trawl(18).At // the nineteenth child
			odd := watchThem(t, looks)
			if len(odd) == 0 || odd[0].Look.Worker != "trawler" || odd[0].Look.At.After(last) {
				t.Errorf("seed %d, %s: %+v", seed, name, odd)
			}
			if i := slices.IndexFunc(odd, func(o Odd) bool { return o.Look.Worker != "trawler" }); i >= 0 {
				t.Errorf("seed %d, %s: a false alarm: %+v", seed, name, odd[i])
			}
		}
	}
}

// TestFindingsAreOnRecordOnce: a restart reads the same looks again.
func TestFindingsAreOnRecordOnce(t *testing.T) {
	b := newBench(t, 1)
	r := &Recorder{b.publish, b.keys}
	for i := range 7 {
		if err := r.Note(context.Background(), Deed{Kind: schemas.AuditAccess, Action: schemas.ActionLookedInVain, Organisation: "RXX01", By: schemas.Access{WorkerID: "555", WorkerName: "T. Rawler", WorkerRole: "R8001"}, About: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	findings := func() []schemas.Audit {
		return slices.DeleteFunc(read[schemas.Audit](b, schemas.TopicAudit), func(a schemas.Audit) bool { return a.Kind != schemas.AuditFinding })
	}
	for range 2 {
		ctx, cancel := context.WithCancel(context.Background())
		w := &LookWatch{Recorder: r, Client: b.client, Lookers: &Lookers{Place: time.UTC}, Logger: slog.New(slog.DiscardHandler)}
		var wait sync.WaitGroup
		wait.Go(func() { _ = w.Run(ctx) })
		for until := time.Now().Add(20 * time.Second); len(findings()) == 0; {
			if time.Now().After(until) {
				t.Fatal("nothing was found")
			}
			<-time.After(10 * time.Millisecond)
		}
		<-time.After(300 * time.Millisecond)
		cancel()
		wait.Wait()
	}
	got := findings()
	if len(got) != 1 || got[0].Code != "CPIS-B001" || got[0].Organisation != "RXX01" || got[0].Shown() || len(got[0].SealedActor) == 0 {
		t.Errorf("%+v", got)
	}
}
