/// Records that make a zone: checked against each other, as a name server has to before it serves them.
///
/// What is refused: an SOA or NS record that the origin lacks, a second SOA, records outside of the zone, a CNAME beside
/// other records, records below a delegation that are no addresses for its name servers, name servers, mail servers and
/// services in the zone that have no address, name servers and mail servers that are a CNAME, and DNAME.
public struct CheckedZone: Sendable {
    /// The name at the top of the zone.
    public let origin: DNSName
    /// The records in their order, duplicates left out, every set of one name and type with one TTL.
    public let records: [ResourceRecord]
    /// What is odd but was put right, or does no harm.
    public let warnings: [ZoneProblem]

    /// Checks the records of a file; problems name its lines.
    ///
    /// - Parameters:
    ///   - file: the records.
    ///   - origin: the name at the top of the zone.
    ///   - answeredElsewhere: whether addresses of a name come from somewhere else, such as a policy; then the zone
    ///     need not have any.
    /// - Throws: every problem there is.
    public init(
        _ file: ZoneFile, origin: DNSName, answeredElsewhere: (DNSName) -> Bool = { _ in false }
    ) throws(ZoneProblems) {
        try self.init(
            file.records, origin: origin, file: file.name, lines: file.lines, answeredElsewhere: answeredElsewhere)
    }

    /// Checks records.
    ///
    /// - Parameters:
    ///   - records: the records, in any order.
    ///   - origin: the name at the top of the zone.
    ///   - file: what problems call the file.
    ///   - lines: for each record the line on which it begins, as far as that is known.
    ///   - answeredElsewhere: whether addresses of a name come from somewhere else, such as a policy; then the zone
    ///     need not have any.
    /// - Throws: every problem there is.
    public init(
        _ records: [ResourceRecord], origin: DNSName, file: String? = nil, lines: [Int] = [],
        answeredElsewhere: (DNSName) -> Bool = { _ in false }
    ) throws(ZoneProblems) {
        var check = ZoneCheck(records: records, origin: origin, file: file, lines: lines)
        check.findSets()
        check.checkOrigin()
        check.checkAliases()
        check.checkDelegations()
        check.checkTargets(answeredElsewhere)
        guard check.problems.isEmpty else { throw ZoneProblems(problems: check.problemsInOrder) }
        self.origin = origin
        self.records = check.levelled()
        warnings = check.warningsInOrder
    }
}

/// The work of ``CheckedZone``.
struct ZoneCheck {
    let records: [ResourceRecord]
    let origin: DNSName
    let file: String?
    let lines: [Int]
    /// The records of the zone that are no duplicates, by name and type, as indices.
    private(set) var sets: [DNSName: [RecordType: [Int]]] = [:]
    /// The names that exist: those of records, and those above them (RFC 4592, section 2.2.2).
    private(set) var names: Set<DNSName> = []
    /// The names below the origin that have NS records.
    private(set) var delegations: Set<DNSName> = []
    /// The first CNAME record of each name that has one.
    private(set) var aliases: [DNSName: Int] = [:]
    private(set) var kept: [Int] = []
    private(set) var problems: [(index: Int, problem: ZoneProblem)] = []
    private var warnings: [(index: Int, problem: ZoneProblem)] = []

    init(records: [ResourceRecord], origin: DNSName, file: String?, lines: [Int]) {
        self.records = records
        self.origin = origin
        self.file = file
        self.lines = lines
    }

    // MARK: Saying so

    /// Problems about what is missing come first: their index is -1.
    var problemsInOrder: [ZoneProblem] { problems.sorted { $0.index < $1.index }.map(\.problem) }
    var warningsInOrder: [ZoneProblem] { warnings.sorted { $0.index < $1.index }.map(\.problem) }

    mutating func refuse(_ index: Int, _ message: String) {
        problems.append((index, problem(index, message)))
    }

    private func problem(_ index: Int, _ message: String) -> ZoneProblem {
        ZoneProblem(file: file, line: lines.indices.contains(index) ? lines[index] : nil, message: message)
    }

    /// How a message points to another record: by its line when that is known.
    func reference(_ index: Int) -> String {
        lines.indices.contains(index) ? "line \(lines[index])" : "the first"
    }

    /// "The MX record of example.com."
    func named(_ index: Int) -> String { "the \(records[index].type) record of \(records[index].owner)" }

    // MARK: Sets

    /// Sorts the records by name and type, leaves duplicates out, and finds those of other zones.
    mutating func findSets() {
        var seen: Set<ResourceRecord> = []
        for (index, record) in records.enumerated() {
            guard record.owner.isAtOrBelow(origin) else {
                refuse(
                    index,
                    "\(record.owner) is outside of the zone \(origin); remove the record, or end its name without a dot"
                )
                continue
            }
            let data = RecordData.folded(record.data, type: record.type)
            let plain = ResourceRecord(owner: record.owner, type: record.type, ttl: 0, data: data)
            guard seen.insert(plain).inserted else {
                warnings.append((index, problem(index, "\(named(index)) is there twice; remove one")))
                continue
            }
            kept.append(index)
            sets[record.owner, default: [:]][record.type, default: []].append(index)
            if record.type == .NS, record.owner != origin { delegations.insert(record.owner) }
            if record.type == .CNAME, aliases[record.owner] == nil { aliases[record.owner] = index }
            var name: DNSName? = record.owner
            while let existing = name, existing.isAtOrBelow(origin), names.insert(existing).inserted {
                name = existing.parent
            }
        }
    }

    /// The records that are kept, each set of them with the least of its TTLs (RFC 2181, section 5.2).
    mutating func levelled() -> [ResourceRecord] {
        kept.map { index in
            let record = records[index]
            let set = sets[record.owner]?[record.type] ?? [index]
            let least = set.reduce(record.ttl) { min($0, records[$1].ttl) }
            if let first = set.first, index != first, record.ttl != records[first].ttl {
                let message =
                    "the TTL \(record.ttl) differs from \(records[first].ttl) of \(reference(first)) for "
                    + "\(record.owner) \(record.type), and \(least) is used for all; write the same"
                warnings.append((index, problem(index, message)))
            }
            return ResourceRecord(owner: record.owner, type: record.type, ttl: least, data: record.data)
        }
    }

    func first(_ type: RecordType, of name: DNSName) -> Int? { sets[name]?[type]?.first }

    func hasAddress(_ name: DNSName) -> Bool {
        first(.A, of: name) != nil || first(.AAAA, of: name) != nil
    }
}
