// The entrypoint of Kubernetes' own images: runs the command that it is given, with its output copied
// to a file where --log-file says so. Upstream's program of this name cannot be had as a module.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	logFile := flag.String("log-file", "", "also write the command's output to this file")
	also := flag.Bool("also-stdout", false, "with --log-file, keep writing to stdout")
	redirect := flag.Bool("redirect-stderr", true, "send the command's stderr to the file, too")
	flag.Parse()
	code, err := run(flag.Args(), *logFile, *also, *redirect)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go-runner:", err)
	}
	os.Exit(code)
}

func run(command []string, logFile string, also, redirect bool) (int, error) {
	if len(command) == 0 {
		return 1, fmt.Errorf("no command given")
	}
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if logFile != "" {
		file, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return 1, err
		}
		defer file.Close()
		var output io.Writer = file
		if also {
			output = io.MultiWriter(file, os.Stdout)
		}
		child.Stdout = output
		if redirect {
			child.Stderr = output
		}
	}
	if err := child.Start(); err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for received := range signals {
			_ = child.Process.Signal(received)
		}
	}()
	if err := child.Wait(); err != nil {
		if child.ProcessState != nil && child.ProcessState.ExitCode() >= 0 {
			return child.ProcessState.ExitCode(), nil
		}
		return 1, err
	}
	return 0, nil
}
