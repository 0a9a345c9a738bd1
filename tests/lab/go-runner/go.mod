module provision.lab/go-runner

go 1.24
