//! Scenario files, workloads, ledgers, oracles and reports.
