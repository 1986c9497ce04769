module connector

go 1.27.1

require go.bytecodealliance.org/pkg v0.4.0

// What bindings/ needs at run time, as the crate wit-bindgen-go 0.63.0 has it.
replace go.bytecodealliance.org/pkg => ./bindings/pkg
