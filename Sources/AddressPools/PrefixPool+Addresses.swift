extension PrefixPool {
    /// The addresses of the pool in ascending order, IPv4 first, made one at a time as they are asked for.
    ///
    /// The sequence takes no memory for the addresses, but a loop over a whole IPv6 prefix does not end in a lifetime:
    /// limit it with `prefix(_:)`.
    public var addresses: Addresses {
        Addresses(prefixes: prefixes)
    }

    /// A lazy sequence of the addresses in a pool.
    public struct Addresses: Sequence, Sendable {
        let prefixes: [IPPrefix]

        /// Makes an iterator that begins at the first address.
        public func makeIterator() -> Iterator {
            Iterator(prefixes: prefixes)
        }

        /// Makes the addresses of a pool one by one.
        public struct Iterator: IteratorProtocol, Sendable {
            private var prefixes: ArraySlice<IPPrefix>
            private var following: IPAddress?

            fileprivate init(prefixes: [IPPrefix]) {
                self.prefixes = prefixes[...]
                following = prefixes.first?.first
            }

            /// The next address, or nil after the last.
            public mutating func next() -> IPAddress? {
                guard let address = following, let prefix = prefixes.first else { return nil }
                // Compared before the step, since nothing follows the highest address of a family.
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
