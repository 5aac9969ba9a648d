package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"balsa/test/bench/measure"
	"balsa/test/harness"
)

// measureIdle prints what three nodes cost that hold many partitions and serve nobody.
func measureIdle(ctx context.Context, s *settings, programs *programs) (err error) {
	p, err := programs.start(ctx, "balsa-3")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	empty, err := watch(ctx, p, s.idle/4)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "idle: creating %d partitions\n", s.idleParts)
	created := time.Now()
	if _, err := p.adm.CreateTopic(ctx, int32(s.idleParts), 3, nil, "idle"); err != nil {
		return fmt.Errorf("create %d partitions: %w", s.idleParts, err)
	}
	if err := allLed(ctx, p, s.idleParts); err != nil {
		return err
	}
	ready := time.Since(created)
	// Elections and the balancing of leaders are not idleness.
	if err := measure.Sleep(ctx, s.idle/2); err != nil {
		return err
	}
	full, err := watch(ctx, p, s.idle)
	if err != nil {
		return err
	}
	fmt.Printf("\n### Idle: %d partitions × 3 replicas on three nodes, watched for %v\n\n", s.idleParts, s.idle)
	fmt.Printf("| | CPU of one core | memory of the three nodes |\n|---|---|---|\n")
	fmt.Printf("| no topics | %.1f %% | %.0f MiB |\n", empty.cpu*100, mib(empty.memory))
	fmt.Printf("| %d partitions | %.1f %% | %.0f MiB |\n", s.idleParts, full.cpu*100, mib(full.memory))
	fmt.Printf("| per partition | %.4f %% | %.0f KiB |\n", (full.cpu-empty.cpu)*100/float64(s.idleParts),
		float64(full.memory-empty.memory)/1024/float64(s.idleParts))
	fmt.Printf("\nThe partitions were led %v after they were asked for.\n", ready.Round(10*time.Millisecond))
	return nil
}

// idleness is the use of the machine over a while.
type idleness struct {
	cpu    float64 // cores
	memory int64
}

func watch(ctx context.Context, p *peer, d time.Duration) (idleness, error) {
	m, err := measure.Start(p.pids)
	if err != nil {
		return idleness{}, err
	}
	if err := measure.Sleep(ctx, d); err != nil {
		return idleness{}, err
	}
	took, c, err := m.Stop()
	if err != nil {
		return idleness{}, err
	}
	memory, err := harness.Memory(p.pids...)
	return idleness{c.Server.Seconds() / took.Seconds(), memory}, err
}

// allLed waits until every partition has a leader.
func allLed(ctx context.Context, p *peer, partitions int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		topics, err := p.adm.ListTopics(ctx, "idle")
		if err != nil {
			return fmt.Errorf("list partitions: %w", err)
		}
		led := 0
		for _, part := range topics["idle"].Partitions {
			if part.Err == nil && part.Leader >= 0 {
				led++
			}
		}
		if led == partitions {
			return nil
		}
		if err := measure.Sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d partitions are led: %w", led, partitions, err)
		}
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
