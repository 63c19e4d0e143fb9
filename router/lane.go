package router

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"cpis/router/topics"
)

// entry is one unfinished record.
type entry struct {
	record  topics.Record
	attempt int
	again   bool // finished before, so that no offset waits for it
}

// queue holds the unfinished records of one key, oldest first. Only the first
// is ever worked on.
type queue struct {
	key     string
	entries []*entry
	waiting bool // in lane.parked until due
	due     time.Time
	pause   *backoff.ExponentialBackOff
}

// result is what one call of the handler came to.
type result struct {
	call   int
	queues []*queue
	errs   []error
}

// lane works through one partition for one generation. Its fields belong to
// the goroutine in run; calls of the handler and fetches run beside it and
// report over channels.
type lane struct {
	stage *Stage
	a     *topics.Assignment
	work  Work

	next      int64             // offset to fetch next
	base      int64             // everything below is finished
	finished  []bool            // finished[i] is offset base+i
	committed int64             // last committed base
	pending   int               // unfinished records
	queues    map[string]*queue // keys with unfinished records
	ready     []*queue          // keys whose first record can be worked on, in order of arrival
	behind    []behindEntry     // records to be told that they wait
	parked    parkedQueues      // keys that wait for another try

	fetching bool
	running  map[int]time.Time // handler calls under way, by number: when they began
	calls    int
	fetched  chan fetchResult
	results  chan result
	again    chan topics.Record // from Work.Follow
	followed chan error         // its end
	wait     sync.WaitGroup     // handler calls, fetches and Follow under way
}

type behindEntry struct {
	queue *queue
	entry *entry
}

type fetchResult struct {
	batch topics.Batch
	err   error
}

func newLane(s *Stage, a *topics.Assignment, work Work) *lane {
	return &lane{stage: s, a: a, work: work, next: a.Offset, base: a.Offset, committed: a.Offset,
		queues: map[string]*queue{}, running: map[int]time.Time{}, fetched: make(chan fetchResult, 1), results: make(chan result, s.workers()),
		again: make(chan topics.Record), followed: make(chan error, 1)}
}

func (s *Stage) workers() int { return max(s.Workers, 1) }

func (s *Stage) stallAfter() time.Duration {
	if s.StallAfter > 0 {
		return s.StallAfter
	}
	return defaultStallAfter
}

func (s *Stage) maxPending() int {
	if s.MaxPending > 0 {
		return s.MaxPending
	}
	return defaultMaxPending
}

// run works until ctx ends or something fails that only joining again can
// mend. It returns with nothing running, and with what is finished committed
// if the generation still lives.
func (l *lane) run(ctx context.Context) error {
	work, stop := context.WithCancel(ctx)
	if l.work.Close != nil {
		defer l.work.Close()
	}
	defer l.wait.Wait()
	defer stop()
	commit := time.NewTicker(commitEvery)
	defer commit.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	l.startFollow(work)
	for {
		l.startFetch(work)
		l.unpark()
		l.dispatch(work)
		if len(l.parked) > 0 {
			retry.Reset(l.parked[0].due.Sub(l.stage.Now()))
		}
		select {
		case f := <-l.fetched:
			l.fetching = false
			if f.err != nil {
				return f.err
			}
			l.add(f.batch)
		case r := <-l.results:
			l.finish(r)
			if err := openAnew(r.errs); err != nil {
				return err
			}
		case r := <-l.news():
			l.enqueue(&entry{record: r, again: true})
			l.pending++
			l.stage.stats.pending.Add(1)
		case err := <-l.followed:
			if ctx.Err() == nil {
				return err
			}
		case <-retry.C:
		case <-commit.C:
			if err := errors.Join(l.stalled(), l.commit(ctx)); err != nil {
				return err
			}
		case <-ctx.Done():
			return l.drain()
		}
	}
}

// openAnew finds an error that only opening the partition again can mend.
func openAnew(errs []error) error {
	for _, err := range errs {
		if f, _ := fateOf(err); f == anew {
			return err
		}
	}
	return nil
}

// drain waits for what is running and commits what it finished.
func (l *lane) drain() error {
	for len(l.running) > 0 {
		l.finish(<-l.results)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return l.commit(ctx)
}

func (l *lane) startFetch(ctx context.Context) {
	if l.fetching || l.pending >= l.stage.maxPending() {
		return
	}
	l.fetching = true
	from := l.next
	l.wait.Go(func() {
		b, err := l.stage.fetch(ctx, l.a, from)
		l.fetched <- fetchResult{b, err}
	})
}

func (l *lane) startFollow(ctx context.Context) {
	if l.work.Follow == nil {
		return
	}
	l.wait.Go(func() {
		l.followed <- l.work.Follow(ctx, func(r topics.Record) error {
			select {
			case l.again <- r:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
}

// news is where records to be handled again come from, while there is room.
func (l *lane) news() <-chan topics.Record {
	if l.pending >= l.stage.maxPending() {
		return nil
	}
	return l.again
}

func (l *lane) add(b topics.Batch) {
	if len(b.Records) == 0 && l.pending == 0 {
		l.base, l.finished = max(l.base, b.Next), nil
	}
	for _, r := range b.Records {
		for l.base+int64(len(l.finished)) < r.Offset { // offsets nothing stands at
			l.finished = append(l.finished, true)
		}
		l.finished = append(l.finished, false)
		l.enqueue(&entry{record: r})
	}
	l.pending += len(b.Records)
	l.stage.stats.pending.Add(int64(len(b.Records)))
	l.next = b.Next
}

func (l *lane) enqueue(e *entry) {
	q := l.queues[string(e.record.Key)]
	if q == nil {
		q = &queue{key: string(e.record.Key)}
		l.queues[q.key] = q
	}
	q.entries = append(q.entries, e)
	switch {
	case len(q.entries) == 1:
		l.ready = append(l.ready, q)
	case q.pause != nil:
		l.tell(q, e)
	}
}

// tell notes a record that has to wait for an earlier one of its key.
func (l *lane) tell(q *queue, e *entry) {
	if l.stage.AnswerBehind && !e.again {
		l.behind = append(l.behind, behindEntry{q, e})
	}
}

func (l *lane) unpark() {
	now := l.stage.Now()
	for len(l.parked) > 0 && !l.parked[0].due.After(now) {
		q := heap.Pop(&l.parked).(*queue)
		q.waiting = false
		l.ready = append(l.ready, q)
	}
}

// dispatch starts as many handler calls as the stage allows.
func (l *lane) dispatch(ctx context.Context) {
	for len(l.running) < l.stage.workers() {
		tasks, queues := l.take()
		if len(tasks) == 0 {
			return
		}
		l.calls++
		call := l.calls
		l.running[call] = l.stage.Now()
		l.wait.Go(func() { l.results <- result{call, queues, l.call(ctx, tasks)} })
	}
}

// take picks the tasks of one handler call. A queue is nil for a task that is
// only told that it waits.
func (l *lane) take() ([]Task, []*queue) {
	limit := batchRecords
	if l.stage.workers() > 1 {
		limit = 1
	}
	var tasks []Task
	var queues []*queue
	for len(l.ready) > 0 && len(tasks) < limit {
		q := l.ready[0]
		l.ready = l.ready[1:]
		tasks = append(tasks, Task{Record: q.entries[0].record, Attempt: q.entries[0].attempt, Again: q.entries[0].again})
		queues = append(queues, q)
	}
	for len(l.behind) > 0 && len(tasks) < limit {
		b := l.behind[0]
		l.behind = l.behind[1:]
		if b.queue.waiting && b.queue.entries[0] != b.entry {
			tasks = append(tasks, Task{Record: b.entry.record, Behind: true})
			queues = append(queues, nil)
		}
	}
	return tasks, queues
}

// call runs the handler and puts what can never be finished into the dead
// letters; if even that fails, it is tried again.
func (l *lane) call(ctx context.Context, tasks []Task) []error {
	errs := l.work.Handle(ctx, tasks)
	if len(errs) != len(tasks) {
		panic(fmt.Sprintf("handler of %s returned %d errors for %d tasks", l.a.Topic, len(errs), len(tasks)))
	}
	for i, err := range errs {
		f, code := fateOf(err)
		if f == again && l.stage.MaxAge > 0 && l.stage.Now().Sub(tasks[i].Time) > l.stage.MaxAge {
			f, code = dead, "CPIS-K005"
		}
		if f != dead || tasks[i].Behind {
			continue
		}
		if code == "CPIS-K005" && l.stage.GivenUp != nil {
			if errs[i] = l.stage.GivenUp(ctx, tasks[i].Record); errs[i] != nil {
				continue
			}
		}
		l.stage.Log.Error("record set aside", "code", string(code), "topic", string(l.a.Topic), "partition", l.a.Partition, "offset", tasks[i].Offset, "error", err)
		l.stage.stats.dead.Add(1)
		errs[i] = l.stage.Dead.Put(ctx, tasks[i].Record, code, err, tasks[i].Attempt+1)
	}
	return errs
}

func (l *lane) finish(r result) {
	delete(l.running, r.call)
	for i, q := range r.queues {
		if q == nil {
			continue
		}
		e := q.entries[0]
		if r.errs[i] != nil {
			e.attempt++
			l.park(q)
			continue
		}
		if !e.again {
			l.finished[e.record.Offset-l.base] = true
		}
		l.pending--
		l.stage.stats.pending.Add(-1)
		l.stage.stats.finished.Add(1)
		q.entries, q.pause = q.entries[1:], nil
		if len(q.entries) > 0 {
			l.ready = append(l.ready, q)
		} else {
			delete(l.queues, q.key)
		}
	}
	n := 0
	for n < len(l.finished) && l.finished[n] {
		n++
	}
	l.base, l.finished = l.base+int64(n), l.finished[n:]
}

// stalled is the watchdog: heartbeats go on while a handler hangs, so the
// partition would be kept and never worked on. A call that takes longer than
// any should ends the generation, and another member may do better.
func (l *lane) stalled() error {
	for _, began := range l.running {
		if took := l.stage.Now().Sub(began); took > l.stage.stallAfter() {
			return fmt.Errorf("a handler of %s partition %d has been at it for %s", l.a.Topic, l.a.Partition, took.Round(time.Second))
		}
	}
	return nil
}

func (l *lane) park(q *queue) {
	if q.pause == nil {
		q.pause = newPause(l.stage.MaxPause)
		for _, e := range q.entries[1:] {
			l.tell(q, e)
		}
	}
	q.due = l.stage.Now().Add(q.pause.NextBackOff())
	q.waiting = true
	heap.Push(&l.parked, q)
	l.stage.stats.retried.Add(1)
}

func (l *lane) commit(ctx context.Context) error {
	if l.base == l.committed {
		return nil
	}
	if err := l.a.Commit(ctx, l.base); err != nil {
		return fmt.Errorf("commit offset: %w", err)
	}
	l.committed = l.base
	return nil
}

// parkedQueues is a heap, the queue due first on top.
type parkedQueues []*queue

func (p parkedQueues) Len() int           { return len(p) }
func (p parkedQueues) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p parkedQueues) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *parkedQueues) Push(q any)        { *p = append(*p, q.(*queue)) }
func (p *parkedQueues) Pop() any {
	old := *p
	q := old[len(old)-1]
	*p = old[:len(old)-1]
	return q
}
