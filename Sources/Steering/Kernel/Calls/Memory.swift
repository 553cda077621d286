import CSteering

/// Makes the process's memory fit for policies of 100,000 bindings and more, which are worked on in arrays of
/// some MiB: what is freed is used again, in huge pages, instead of given back and faulted in anew. That took
/// a third of the time to change one binding (`docs/decisions/0008-large-policies.md`).
///
/// For commands that do one thing and end; a server may have other plans for its memory.
package func prepareMemoryForLargePolicies() { csteering_keep_memory() }
