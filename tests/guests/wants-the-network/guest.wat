;; Wants to talk HTTP itself.
(component
    (import "wasi:http/outgoing-handler@0.2.0" (instance))
    (instance $connector)
    (export "sluice:connector/connector@0.1.0" (instance $connector)))
