module provision.lab/pause

go 1.24
