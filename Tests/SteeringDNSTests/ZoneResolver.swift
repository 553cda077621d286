import SteeringDNS

/// Answers from the records of one zone alone, as RFC 1034, section 4.3.2, and RFC 4592 have it. It shares no code with
/// the server.
struct ZoneResolver {
    private let origin: String
    private var records: [String: [ResourceRecord]] = [:]
    /// All names that exist, those without records too.
    private var names: Set<String> = []

    init(_ all: [ResourceRecord], origin: String) {
        self.origin = origin
        for record in all {
            var name = record.owner.description.lowercased()
            records[name, default: []].append(record)
            while names.insert(name).inserted, name != origin { name = Self.parent(of: name) }
        }
    }

    struct Answer {
        var code = "NOERROR"
        /// As `Response` has them.
        var records: [String] = []
        /// The name or the wildcard that says it.
        var source = ""
        var isReferral = false
    }

    /// The answer for a name with its final dot.
    func answer(_ name: String, _ type: RecordType) -> Answer {
        var answer = Answer()
        var name = name.lowercased()
        for _ in 0..<9 {
            guard name == origin || name.hasSuffix("." + origin) else { return answer }
            if delegation(of: name) {
                answer.isReferral = true
                return answer
            }
            guard let source = source(of: name) else {
                answer.code = "NXDOMAIN"
                return answer
            }
            if answer.records.isEmpty { answer.source = source }
            let own = records[source] ?? []
            let alias = own.first { $0.type == .CNAME && type != .CNAME }
            answer.records += own.filter { alias == nil ? $0.type == type : $0 == alias }.map { Self.text($0, name) }
            guard let alias else { return answer }
            name = DNSName(wire: alias.data)!.description.lowercased()
        }
        return answer
    }

    /// The name itself, or the wildcard at its closest encloser.
    private func source(of name: String) -> String? {
        if names.contains(name) { return name }
        var encloser = Self.parent(of: name)
        while !names.contains(encloser) { encloser = Self.parent(of: encloser) }
        return names.contains("*.\(encloser)") ? "*.\(encloser)" : nil
    }

    private func delegation(of name: String) -> Bool {
        var name = name
        while name != origin {
            if records[name]?.contains(where: { $0.type == .NS }) ?? false { return true }
            name = Self.parent(of: name)
        }
        return false
    }

    private static func parent(of name: String) -> String {
        String(name[name.index(after: name.firstIndex(of: ".")!)...])
    }

    private static func text(_ record: ResourceRecord, _ owner: String) -> String {
        "\(owner) " + ZoneFile.text(of: record).split(separator: " ", maxSplits: 1)[1]
    }
}
