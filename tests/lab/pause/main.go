// The sandbox process of a pod: holds the namespaces, reaps what is orphaned into it, and ends when
// it is told to.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set when this is linked: the tag of the image that carries it.
var version = "unknown"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause", version)
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}
