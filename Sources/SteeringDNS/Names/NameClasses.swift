/// The classes of names: for each, the lists that its names are in, with their attributes, and the lists that have names
/// below them.
struct NameClasses: Sendable {
    /// A list, by index, and the attributes of a name in it, deduplicated and sorted.
    struct Membership: Hashable, Sendable {
        let list: Int
        let attributes: [String]
    }

    /// What the names of a class have in common. Both arrays are sorted by list.
    struct Kind: Hashable, Sendable {
        var memberships: [Membership] = []
        /// The lists with names below this one. If policies give those addresses, it exists: as an empty non-terminal
        /// (RFC 8020) where it has no address itself.
        var listsBelow: [Int] = []
    }

    /// The classes of listed names, after that of unlisted names.
    private(set) var listed: [Kind] = [Kind()]
    /// The classes of names that are only above listed ones. They count down from the highest number.
    private(set) var above: [Kind] = []
    private var classes: [Kind: NameClass] = [Kind(): .unlisted]
    private var unions: [UInt32: NameClass] = [:]

    /// Returns the class for what names have in common.
    mutating func nameClass(of kind: Kind) throws(ListError) -> NameClass {
        if let known = classes[kind] { return known }
        guard listed.count + above.count <= Int(NameClass.max) else {
            throw ListError(
                message: "the lists give names more than 65,534 different sets of attributes: use fewer attributes")
        }
        let number: NameClass
        if kind.memberships.isEmpty {
            number = NameClass.max - NameClass(above.count)
            above.append(kind)
        } else {
            number = NameClass(listed.count)
            listed.append(kind)
        }
        classes[kind] = number
        return number
    }

    private func kind(of nameClass: NameClass) -> Kind {
        Int(nameClass) < listed.count ? listed[Int(nameClass)] : above[Int(NameClass.max - nameClass)]
    }

    /// The classes of names above others.
    struct Above: Sendable {
        fileprivate let listed: NameClassSet
        /// The distances from the highest class.
        fileprivate let others: NameClassSet

        func contains(_ nameClass: NameClass) -> Bool {
            others.contains(NameClass.max - nameClass) || listed.contains(nameClass)
        }
    }

    /// Returns the classes of names above those of certain lists.
    func above(lists: Set<Int>) -> Above {
        func set(_ kinds: [Kind]) -> NameClassSet {
            var set = NameClassSet(count: kinds.count)
            for (number, kind) in kinds.enumerated() where !lists.isDisjoint(with: kind.listsBelow) {
                set.insert(NameClass(number))
            }
            return set
        }
        return Above(listed: set(listed), others: set(above))
    }

    /// Returns the class of a name that was added twice.
    mutating func union(_ one: NameClass, _ other: NameClass) throws(ListError) -> NameClass {
        if one == other { return one }
        let pair = UInt32(one) << 16 | UInt32(other)
        if let known = unions[pair] { return known }
        let kinds = [kind(of: one), kind(of: other)]
        var byList: [Int: Set<String>] = [:]
        for membership in kinds.flatMap(\.memberships) {
            byList[membership.list, default: []].formUnion(membership.attributes)
        }
        let union = try nameClass(
            of: Kind(
                memberships: byList.sorted { $0.key < $1.key }.map {
                    Membership(list: $0.key, attributes: $0.value.sorted())
                },
                listsBelow: Set(kinds.flatMap(\.listsBelow)).sorted()))
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
            count = all.listed.count
            for (number, kind) in all.listed.enumerated() {
                for membership in kind.memberships {
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

        /// Returns the classes of the names in any of some lists that have an attribute there, or any if nil.
        func matching(lists: Set<Int>, attribute: String?) -> NameClassSet {
            var set = NameClassSet(count: count)
            for list in lists {
                for number in classes[Key(list: list, attribute: attribute)] ?? [] { set.insert(number) }
            }
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
        // Empty non-terminals have higher classes.
        guard Int(nameClass >> 6) < words.count else { return false }
        return words[Int(nameClass >> 6)] & 1 << UInt64(nameClass & 63) != 0
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    func isSubset(of other: NameClassSet) -> Bool { zip(words, other.words).allSatisfy { $0 & ~$1 == 0 } }

    func intersects(_ other: NameClassSet) -> Bool { zip(words, other.words).contains { $0 & $1 != 0 } }
}
