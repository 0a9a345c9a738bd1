// Asks one URL at a fixed rate, and says at its end how many requests failed and for how long nothing was answered.
//
// Requests leave on a schedule of their own: one that is answered late, or never, holds up none after it. Nothing is tried
// again. The result is one line of JSON on standard output, written when the time is over or the program is told to end.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// So many failures, the first ones, and so many gaps, the longest ones, are told one by one.
const told = 20

var errRefused = errors.New("to be sent again")

type options struct {
	url, authority, certificate, key, token, serverName string
	rate                                                int
	timeout, duration                                   time.Duration
	kept, unverified                                    bool
}

type failure struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

type result struct {
	URL        string `json:"url"`
	Kept       bool   `json:"kept"`
	Total      int    `json:"total"`
	Failed     int    `json:"failed"`
	Refused    int    `json:"refused"`
	LongestGap int64  `json:"longest_gap_ms"`
	Slowest    int64  `json:"slowest_ms"`
	// How late a request left at most: for so long this machine stood still.
	Latest        int64     `json:"latest_ms"`
	FirstFailures []failure `json:"first_failures"`
	// How many failed of those that left in the same second.
	FailedInSecond map[string]int `json:"failed_in_second"`
	LongestGaps    []gap          `json:"longest_gaps"`
}

// gap is a time without a success.
type gap struct {
	From         time.Time `json:"from"`
	Milliseconds int64     `json:"ms"`
}

// tally is what is known so far; requests report to it as they end.
type tally struct {
	sync.Mutex
	result
	lastSuccess time.Time
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}

func run() error {
	chosen := parse()
	client, err := chosen.client()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if chosen.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, chosen.duration)
		defer cancel()
	}
	return json.NewEncoder(os.Stdout).Encode(chosen.probe(ctx, client))
}

func parse() options {
	var chosen options
	flag.StringVar(&chosen.url, "url", "", "what is asked for")
	flag.StringVar(&chosen.authority, "ca", "", "file with the authority that the server's certificate is checked against")
	flag.StringVar(&chosen.certificate, "cert", "", "file with the certificate to show")
	flag.StringVar(&chosen.key, "key", "", "file with its key")
	flag.StringVar(&chosen.token, "token", "", "file with a token, read for each request")
	flag.BoolVar(&chosen.unverified, "unverified", false, "take any certificate of the server's, for those that sign their own")
	flag.StringVar(&chosen.serverName, "server-name", "", "the name that the server's certificate must have")
	flag.IntVar(&chosen.rate, "rate", 20, "requests a second")
	flag.DurationVar(&chosen.timeout, "timeout", 5*time.Second, "after which a request has failed")
	flag.DurationVar(&chosen.duration, "for", 0, "how long; 0 is until the program is told to end")
	flag.BoolVar(&chosen.kept, "kept", false, "one HTTP/2 connection that is kept, in place of a new one for each request")
	flag.Parse()
	if chosen.url == "" || chosen.rate < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	return chosen
}

func (chosen options) client() (*http.Client, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: chosen.serverName, InsecureSkipVerify: chosen.unverified}
	if chosen.authority != "" {
		text, err := os.ReadFile(chosen.authority)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in it", chosen.authority)
		}
	}
	if chosen.certificate != "" {
		pair, err := tls.LoadX509KeyPair(chosen.certificate, chosen.key)
		if err != nil {
			return nil, err
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	// No proxy of the environment, and on new connections HTTP/1.1: with nothing kept, nothing is tried again.
	transport := &http.Transport{TLSClientConfig: settings, DisableKeepAlives: !chosen.kept}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!chosen.kept)
	protocols.SetHTTP2(chosen.kept)
	transport.Protocols = protocols
	unfollowed := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, Timeout: chosen.timeout, CheckRedirect: unfollowed}, nil
}

// probe asks until the context ends, and waits for the answers to what was asked by then.
func (chosen options) probe(ctx context.Context, client *http.Client) result {
	start := time.Now()
	empty := result{URL: chosen.url, Kept: chosen.kept, FirstFailures: []failure{}, FailedInSecond: map[string]int{}, LongestGaps: []gap{}}
	counted := &tally{lastSuccess: start, result: empty}
	var open sync.WaitGroup
	interval := time.Second / time.Duration(chosen.rate)
	for number := 0; ; number++ {
		// Where this machine was late, the missed ones leave at once.
		due := start.Add(time.Duration(number) * interval)
		timer := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			timer.Stop()
			end := time.Now()
			open.Wait()
			counted.close(end)
			return counted.result
		case <-timer.C:
		}
		counted.late(time.Since(due))
		open.Add(1)
		go func() {
			defer open.Done()
			asked := time.Now()
			counted.add(asked, chosen.ask(client))
		}()
	}
}

// ask is one request, its answer read to the end.
func (chosen options) ask(client *http.Client) error {
	request, err := http.NewRequest(http.MethodGet, chosen.url, nil)
	if err != nil {
		return err
	}
	if chosen.token != "" {
		token, err := os.ReadFile(chosen.token)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	// On a kept connection this is how a server that ends says that the request belongs to another one: every client of the API
	// sends it again. Whoever connects anew has no business being there.
	if chosen.kept && answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "" {
		return errRefused
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status + ": " + string(body[:min(len(body), 300)]))
	}
	return nil
}

func (counted *tally) add(asked time.Time, err error) {
	counted.Lock()
	defer counted.Unlock()
	now := time.Now()
	counted.Total++
	counted.Slowest = max(counted.Slowest, now.Sub(asked).Milliseconds())
	if err == nil {
		counted.gap(now)
		counted.lastSuccess = now
		return
	}
	if errors.Is(err, errRefused) {
		counted.Refused++
		return
	}
	counted.Failed++
	counted.FailedInSecond[asked.UTC().Format(time.TimeOnly)]++
	if len(counted.FirstFailures) < told {
		counted.FirstFailures = append(counted.FirstFailures, failure{At: asked, Error: err.Error()})
	}
}

func (counted *tally) late(by time.Duration) {
	counted.Lock()
	defer counted.Unlock()
	counted.Latest = max(counted.Latest, by.Milliseconds())
}

// close counts the time since the last success, where none came before the end.
func (counted *tally) close(end time.Time) {
	counted.Lock()
	defer counted.Unlock()
	if end.After(counted.lastSuccess) {
		counted.gap(end)
	}
}

func (counted *tally) gap(until time.Time) {
	length := until.Sub(counted.lastSuccess).Milliseconds()
	counted.LongestGap = max(counted.LongestGap, length)
	gaps := append(counted.LongestGaps, gap{From: counted.lastSuccess, Milliseconds: length})
	slices.SortFunc(gaps, func(a, b gap) int { return int(b.Milliseconds - a.Milliseconds) })
	counted.LongestGaps = gaps[:min(len(gaps), told)]
}
