import AddressPools
import Documents
import Glibc

/// A zone with the policies' answers in it, as a file for other name servers.
///
/// It has the zone's own records, and for each name that policies give addresses one of each family, drawn from their
/// pools. Names that are not said one by one, a policy's suffix or all that there may be, become wildcards (RFC 4592),
/// and so do those below the empty non-terminals that listed names make: a wildcard ends where a name exists.
///
/// ```swift
/// let serving = try NamePolicyFile.read(contentsOf: "policy.yaml")
/// let zone = try OfflineZone(serving, origin: DNSName("example.com"), seed: 42)
/// let summary = try zone.write(to: "example.com.zone")
/// ```
///
/// Names stream from their lists into the file, so that memory has no more than the table of names.
public struct OfflineZone: Sendable {
    /// What was written.
    public struct Summary: Sendable {
        /// Names with an address, wildcards not counted.
        public internal(set) var names = 0
        /// Wildcards with an address.
        public internal(set) var wildcards = 0
        /// Address records, and the zone's own.
        public internal(set) var addresses = 0, records = 0
        /// The bytes of the file.
        public internal(set) var size = 0
        /// In what the file cannot answer as the policies do, a sentence each. It ends with them.
        public internal(set) var notes: [String] = []
    }

    let serving: Serving
    let origin: DNSName
    let seed: UInt64
    let client: IPAddress?
    /// The zone's number.
    let number: Int

    /// - Parameters:
    ///   - serving: the policies, the names and the zone.
    ///   - origin: the zone's name.
    ///   - seed: decides about random addresses: the same for the same policies, names and seed.
    ///   - client: the client that the zone is for, where policies ask for it.
    /// - Throws: When there is no such zone; when policies ask for the client and there is none; when a list cannot be
    ///   read twice.
    public init(_ serving: Serving, origin: DNSName, seed: UInt64, client: IPAddress? = nil) throws(OfflineZoneError) {
        guard let number = serving.zones.zones.firstIndex(where: { $0.origin == origin }) else {
            throw OfflineZoneError(
                "the policy has no zone \(origin): its zones are \(serving.origins.map(\.description).joined(separator: " "))"
            )
        }
        self.serving = serving
        self.origin = serving.zones.zones[number].origin
        self.seed = seed
        self.client = client
        self.number = number
        if let list = serving.files.lists.first(where: { $0.path == "-" }) {
            throw OfflineZoneError(
                "the list \(list.name) comes from standard input, and is read twice: write it to a file")
        }
        let asking = policies.filter { policy in
            if case .pool(_, .client, _) = policy.outcome { return true }
            return policy.clients != nil
        }
        guard client != nil || asking.isEmpty else {
            throw OfflineZoneError(
                "a file answers all clients alike, and \(asking.map(\.name).joined(separator: ", ")) asks for the client: "
                    + "give the client's address that the zone is for, and leave out or change that policy otherwise")
        }
    }

    /// The policies that are in force for names of the zone.
    var policies: [AddressPolicy] {
        zip(serving.policies.policies, serving.policies.rules).compactMap { policy, rule in
            if case .absent = rule.outcome { return nil }
            let isGeneral = policy.names.isEmpty && policy.suffixes.isEmpty
            let concerns =
                policy.names.contains { $0.isAtOrBelow(origin) }
                || policy.suffixes.contains { $0.isAtOrBelow(origin) || origin.isBelow($0) }
            return isGeneral || concerns ? policy : nil
        }
    }

    /// Where policies speak of all names below: the zone's own name, and suffixes in it.
    var tops: [DNSName] {
        policies.flatMap(\.suffixes).reduce(into: [origin]) { tops, name in
            if isHere(name), !tops.contains(name) { tops.append(name) }
        }
    }

    /// What policies say exactly.
    var said: [DNSName] { policies.flatMap(\.names).filter(isHere) }

    /// Whether the zone answers for a name: not another within it, and no other server.
    private func isHere(_ name: DNSName) -> Bool {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        guard name.isAtOrBelow(origin), let node = serving.zones.encloser(of: keys) else { return false }
        let facts = serving.zones.facts[node]
        return facts.zone == number && facts.cut == nil
    }

    /// How the writing goes on: the bytes of lists that were read, of how many.
    public typealias Progress = (_ read: Int, _ size: Int) -> Void

    /// Writes the zone, all of it or nothing.
    ///
    /// - Parameters:
    ///   - path: the file, which is replaced in one step when all is written; "-" for standard output.
    ///   - progress: told now and then how far the lists are read.
    /// - Throws: When the file cannot be written, or the zone file or a list no longer be read.
    public func write(to path: String, progress: Progress? = nil) throws(OfflineZoneError) -> Summary {
        do {
            try refuseToReplaceInput(path)
            var writer = OfflineZoneWriter(self, try ZoneOutput(path))
            return try writer.write(progress)
        } catch let error as OfflineZoneError {
            throw error
        } catch { throw OfflineZoneError("\(error)") }
    }

    /// The file that is written must not be one that is read.
    private func refuseToReplaceInput(_ path: String) throws(OfflineZoneError) {
        guard path != "-", let file = FileIdentity(path) else { return }
        for input in serving.files.zones.map(\.path) + serving.files.lists.map(\.path) where FileIdentity(input) == file
        {
            throw OfflineZoneError("\(path) is a file that the policy refers to: write to another directory")
        }
    }

    /// The zone's own records, from its file: the SOA first.
    func records() throws -> [ResourceRecord] {
        let path = serving.files.zones.first { $0.origin == origin }!.path
        let file = try ZoneFile(try InputFile.contents(of: path), named: path, origin: origin)
        let said = Set(policies.flatMap(\.names))
        let records = try CheckedZone(file, origin: origin) { said.contains($0) }.records
        return records.filter { $0.type == .SOA } + records.filter { $0.type != .SOA }
    }
}

/// What tells files apart, whatever their paths.
private struct FileIdentity: Equatable {
    let device: dev_t
    let inode: ino_t

    /// Nil if there is no such file.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode) = (status.st_dev, status.st_ino)
    }
}
