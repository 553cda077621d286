/// The classes of names: for each, the lists that its names are in, with their attributes.
struct NameClasses: Sendable {
    /// A list, by index, and the attributes of a name in it, deduplicated and sorted.
    struct Membership: Hashable, Sendable {
        let list: Int
        let attributes: [String]
    }

    /// By class; the first is that of unlisted names.
    private(set) var memberships: [[Membership]] = [[]]
    private var classes: [[Membership]: NameClass] = [:]
    private var unions: [UInt32: NameClass] = [:]
    /// The lists that have names below an empty non-terminal (RFC 8020), which is in no list itself. It exists, without
    /// records, if policies give those names addresses. These classes count down from the highest number.
    private(set) var listsBelow: [[Int]] = []
    private var classesBelow: [[Int]: NameClass] = [:]

    /// Returns the class for a set of memberships, which must be sorted by list.
    mutating func nameClass(of memberships: [Membership]) throws(ListError) -> NameClass {
        if let known = classes[memberships] { return known }
        let number = try newClass(self.memberships.count)
        classes[memberships] = number
        self.memberships.append(memberships)
        return number
    }

    /// Returns the class of an empty non-terminal above names of lists, which must be sorted.
    mutating func nameClass(above lists: [Int]) throws(ListError) -> NameClass {
        if let known = classesBelow[lists] { return known }
        let number = try newClass(Int(NameClass.max) - listsBelow.count)
        classesBelow[lists] = number
        listsBelow.append(lists)
        return number
    }

    private func newClass(_ number: Int) throws(ListError) -> NameClass {
        guard memberships.count + listsBelow.count <= Int(NameClass.max) else {
            throw ListError(
                message: "the lists give names more than 65,534 different sets of attributes: use fewer attributes")
        }
        return NameClass(number)
    }

    /// Returns the classes of the empty non-terminals above names of certain lists, by their distance from the highest
    /// class.
    func existingBelow(lists isIncluded: (Int) -> Bool) -> NameClassSet {
        var set = NameClassSet(count: listsBelow.count)
        for (distance, lists) in listsBelow.enumerated() where lists.contains(where: isIncluded) {
            set.insert(NameClass(distance))
        }
        return set
    }

    /// Returns the lists with names below an empty non-terminal of a class; nil for other names.
    func listsBelow(_ nameClass: NameClass) -> [Int]? {
        let index = Int(NameClass.max - nameClass)
        return index < listsBelow.count ? listsBelow[index] : nil
    }

    /// Returns the class of a name that was added twice.
    mutating func union(_ one: NameClass, _ other: NameClass) throws(ListError) -> NameClass {
        if one == other { return one }
        switch (listsBelow(one), listsBelow(other)) {
        case (nil, nil): break
        case (nil, _?): return one
        case (_?, nil): return other
        case (let lists?, let others?): return try nameClass(above: Set(lists + others).sorted())
        }
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
        // Empty non-terminals have higher classes.
        guard Int(nameClass >> 6) < words.count else { return false }
        return words[Int(nameClass >> 6)] & 1 << UInt64(nameClass & 63) != 0
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    func isSubset(of other: NameClassSet) -> Bool { zip(words, other.words).allSatisfy { $0 & ~$1 == 0 } }

    func intersects(_ other: NameClassSet) -> Bool { zip(words, other.words).contains { $0 & $1 != 0 } }
}
