/// The reason why a list of names was refused: one sentence.
struct ListError: Error {
    let message: String
}

/// The classes of names: for each, the lists that its names are in, with their attributes.
struct NameClasses: Sendable {
    /// A list, by index, and the attributes of a name in it, deduplicated and sorted.
    struct Membership: Hashable, Sendable {
        let list: Int
        let attributes: [String]
    }

    /// By class; the first two are unlisted names and empty non-terminals.
    private(set) var memberships: [[Membership]] = [[], []]
    private var classes: [[Membership]: NameClass] = [:]
    private var unions: [UInt32: NameClass] = [:]

    /// Returns the class for a set of memberships, which must be sorted by list.
    mutating func nameClass(of memberships: [Membership]) throws(ListError) -> NameClass {
        if let known = classes[memberships] { return known }
        guard let number = NameClass(exactly: self.memberships.count) else {
            throw ListError(
                message: "the lists give names more than 65,534 different sets of attributes: use fewer attributes")
        }
        classes[memberships] = number
        self.memberships.append(memberships)
        return number
    }

    /// Returns the class of a name that is listed twice, in two lists or in one.
    mutating func union(_ one: NameClass, _ other: NameClass) throws(ListError) -> NameClass {
        if one == other { return one }
        let pair = UInt32(one) << 16 | UInt32(other)
        if let known = unions[pair] { return known }
        var byList: [Int: Set<String>] = [:]
        for membership in memberships[Int(one)] + memberships[Int(other)] {
            byList[membership.list, default: []].formUnion(membership.attributes)
        }
        let joined = byList.sorted { $0.key < $1.key }.map {
            Membership(list: $0.key, attributes: $0.value.sorted())
        }
        let union = try nameClass(of: joined)
        unions[pair] = union
        return union
    }

    /// Finds classes by list and attribute without looking at all of them each time.
    struct Index {
        private struct Key: Hashable {
            let list: Int?
            let attribute: String?
        }

        private let count: Int
        private var classes: [Key: [NameClass]] = [:]

        init(_ all: NameClasses) {
            count = all.memberships.count
            for (number, memberships) in all.memberships.enumerated() {
                for membership in memberships {
                    for attribute in [nil] + membership.attributes.map(Optional.some) {
                        for list in [nil, membership.list] {
                            classes[Key(list: list, attribute: attribute), default: []].append(NameClass(number))
                        }
                    }
                }
            }
        }

        /// Returns the classes of the names in a list, or in any if nil, that have an attribute there, or any if nil.
        func matching(list: Int?, attribute: String?) -> NameClassSet {
            var set = NameClassSet(count: count)
            for number in classes[Key(list: list, attribute: attribute)] ?? [] { set.insert(number) }
            return set
        }
    }
}

/// A set of classes, as bits.
struct NameClassSet: Sendable, Hashable {
    private var words: [UInt64]

    init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

    mutating func insert(_ nameClass: NameClass) { words[Int(nameClass >> 6)] |= 1 << UInt64(nameClass & 63) }

    @inline(__always)
    func contains(_ nameClass: NameClass) -> Bool {
        words[Int(nameClass >> 6)] & 1 << UInt64(nameClass & 63) != 0
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    func isSubset(of other: NameClassSet) -> Bool { zip(words, other.words).allSatisfy { $0 & ~$1 == 0 } }

    func intersects(_ other: NameClassSet) -> Bool { zip(words, other.words).contains { $0 & $1 != 0 } }
}
