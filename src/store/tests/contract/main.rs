//! The contract of `Store`, run against every backend: what each job answers, and what it changes.

mod accounts;
mod append;
mod failures;
mod groups;
mod harness;
mod pages;
mod random;
