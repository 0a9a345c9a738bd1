module provision.lab/prober

go 1.24
