module haulout.dev/tests/talos/arguments

go 1.26.1

require github.com/siderolabs/talos v1.12.0

require github.com/siderolabs/gen v0.8.6 // indirect
