;; Made for a host of the year 2040.
(component
    (instance $connector)
    (export "sluice:connector/connector@7.0.0" (instance $connector)))
