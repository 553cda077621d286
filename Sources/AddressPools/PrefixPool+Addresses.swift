extension PrefixPool {
    /// The addresses of the pool in ascending order, IPv4 first, generated lazily.
    ///
    /// The sequence does not store the addresses. Iterating a whole IPv6 prefix would not finish in a lifetime; limit
    /// it with `prefix(_:)`.
    public var addresses: Addresses {
        Addresses(prefixes: prefixes)
    }

    /// A lazy sequence of the addresses in a pool.
    public struct Addresses: Sequence, Sendable {
        let prefixes: [IPPrefix]

        /// Returns an iterator that starts at the first address.
        public func makeIterator() -> Iterator {
            Iterator(prefixes: prefixes)
        }

        /// An iterator over the addresses of a pool.
        public struct Iterator: IteratorProtocol, Sendable {
            private var prefixes: ArraySlice<IPPrefix>
            private var following: IPAddress?

            fileprivate init(prefixes: [IPPrefix]) {
                self.prefixes = prefixes[...]
                following = prefixes.first?.first
            }

            /// Returns the next address, or `nil` after the last.
            public mutating func next() -> IPAddress? {
                guard let address = following, let prefix = prefixes.first else { return nil }
                // Compare before the increment, which would leave the family after its highest address.
                if address == prefix.last {
                    prefixes.removeFirst()
                    following = prefixes.first?.first
                } else {
                    following = IPAddress(family: address.family, bits: address.bits + 1)
                }
                return address
            }
        }
    }
}
