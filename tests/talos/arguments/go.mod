// Only marks the folder: each build names the go.mod of one version by -modfile.
module haulout.dev/tests/talos/arguments

go 1.26.1
