// Command connector has no use of its own: the host calls what package wit_exports exports.
package main

import _ "connector/bindings/exports/wit_exports"

func main() {}
