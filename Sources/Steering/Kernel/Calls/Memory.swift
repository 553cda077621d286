import CSteering

/// Configures malloc for policies of 100,000 bindings and more, which use arrays of several MiB: freed memory is
/// reused, in huge pages, rather than returned and faulted in again. The faults took a third of the time to change one
/// binding (`docs/decisions/0009-large-policies.md`).
///
/// For commands that do one thing and end; a server may have other plans for its memory.
package func prepareMemoryForLargePolicies() { csteering_keep_memory() }
