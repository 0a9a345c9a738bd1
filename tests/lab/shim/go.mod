module provision.lab/shim

go 1.24
