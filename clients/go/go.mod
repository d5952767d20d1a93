module rowhook

go 1.21
