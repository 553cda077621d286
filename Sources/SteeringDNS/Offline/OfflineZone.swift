import AddressPools
import Documents
import Glibc

/// A zone file for other name servers, with the policies' answers as records.
///
/// It holds the zone's own records and, for each explicit name that policies give addresses, addresses of each family
/// from its pool. Policies for all names, or for all below a suffix, become wildcards (RFC 4592). A wildcard does not
/// apply below an existing name, so each empty non-terminal above an explicit name gets a wildcard of its own.
///
/// ```swift
/// let served = try NamePolicyFile.read(contentsOf: "policy.yaml")
/// let zone = try OfflineZone(served, origin: DNSName("example.com"), seed: 42)
/// let summary = try zone.write(to: "example.com.zone")
/// ```
///
/// Names are streamed from their lists into the file, so memory holds no more than the table of names.
public struct OfflineZone: Sendable {
    /// The contents of a written zone file.
    public struct Summary: Sendable {
        /// The number of names with an address, without wildcards.
        public internal(set) var names = 0
        /// The number of wildcards with an address.
        public internal(set) var wildcards = 0
        /// The number of address records from policies, and of the zone's own records.
        public internal(set) var addresses = 0, records = 0
        /// The size of the file in bytes.
        public internal(set) var size = 0
        /// The differences between the file and the served policies, one sentence each.
        ///
        /// They are also comments at the end of the file.
        public internal(set) var notes: [String] = []
    }

    let served: ServedData
    let origin: DNSName
    let seed: UInt64
    let client: IPAddress?
    /// The index of the zone.
    let number: Int

    /// Prepares a zone file.
    ///
    /// - Parameters:
    ///   - served: The zones, policies and names.
    ///   - origin: The origin of one of the zones.
    ///   - seed: The seed of random addresses: any number. The same policies, names and seed give the same file.
    ///   - client: The client that the file is for. Required if a policy that concerns the zone has client prefixes or
    ///     selects addresses by client.
    /// - Throws: ``OfflineZoneError`` if there is no such zone, if `client` is required and missing, or if a list comes
    ///   from standard input, since lists are read again.
    public init(_ served: ServedData, origin: DNSName, seed: UInt64, client: IPAddress? = nil) throws(OfflineZoneError)
    {
        guard let number = served.zones.zones.firstIndex(where: { $0.origin == origin }) else {
            throw OfflineZoneError(
                "the policy has no zone \(origin): its zones are \(served.origins.map(\.description).joined(separator: " "))"
            )
        }
        self.served = served
        self.origin = served.zones.zones[number].origin
        self.seed = seed
        self.client = client
        self.number = number
        if let list = served.listFromStandardInput {
            throw OfflineZoneError(
                "the list \(list) comes from standard input, and is read twice: write it to a file")
        }
        let asking = policies.filter(\.dependsOnClient)
        guard client != nil || asking.isEmpty else {
            throw OfflineZoneError(
                "a zone file answers all clients alike, and \(asking.map(\.name).joined(separator: ", ")) depends on the client: "
                    + "give the address of the client that the file is for, or change or leave out that policy")
        }
    }

    /// The policies in force that may match names of the zone.
    var policies: [AddressPolicy] {
        let zone = AddressPolicy(name: "zone", suffixes: [origin], outcome: .pass)
        return served.policies.policies.filter { $0.isInForce(at: served.policies.site) && $0.overlaps(zone) }
    }

    /// The names of policies in the zone, the origin first.
    var namesOfPolicies: [DNSName] {
        [origin] + policies.flatMap { $0.suffixes + $0.names }.filter(isHere)
    }

    /// The names in the zone file that have a wildcard below them.
    var namesWithWildcards: [DNSName] {
        served.zones.nodes.filter { $0.zone == number && $0.cut == nil && $0.wildcard != nil }.map(\.name)
    }

    /// Whether the zone itself answers for a name: it is neither in another zone nor delegated.
    private func isHere(_ name: DNSName) -> Bool {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        guard name.isAtOrBelow(origin), let node = served.zones.encloser(of: keys) else { return false }
        let facts = served.zones.facts[node]
        return facts.zone == number && facts.cut == nil
    }

    /// Reports how far the lists have been read: the bytes read so far, and their total size in bytes.
    public typealias Progress = (_ read: Int, _ size: Int) -> Void

    /// Writes the zone file.
    ///
    /// The file is written under a temporary name and renamed, so it is never incomplete. If this throws, standard
    /// output may have received a part of the zone.
    ///
    /// - Parameters:
    ///   - path: The path of the file, which is replaced atomically; `-` for standard output.
    ///   - progress: Called after each chunk of a list, at most 1 MiB.
    /// - Returns: A summary of the file.
    /// - Throws: ``OfflineZoneError`` if the file cannot be written, if `path` is a zone or list file of the policy, if
    ///   one of those can no longer be read, or if a list has new names.
    public func write(to path: String, progress: Progress? = nil) throws(OfflineZoneError) -> Summary {
        do {
            try refuseToReplaceInput(path)
            var writer = OfflineZoneWriter(self, try ZoneOutput(path))
            return try writer.write(progress)
        } catch let error as OfflineZoneError {
            throw error
        } catch { throw OfflineZoneError("\(error)") }
    }

    /// Throws if the output file is one of the inputs.
    private func refuseToReplaceInput(_ path: String) throws(OfflineZoneError) {
        guard path != "-", let file = FileIdentity(path) else { return }
        let files = served.files
        for input in files.zones.map(\.path) + files.includedZones + files.lists.map(\.path)
        where FileIdentity(input) == file {
            throw OfflineZoneError("\(path) is a file that the policy refers to: write to another directory")
        }
    }

    /// Reads the zone's own records from its file, SOA first.
    func records() throws -> [ResourceRecord] {
        let path = served.files.zones.first { $0.origin == origin }!.path
        let file = try ZoneFile(contentsOf: path, origin: origin)
        let records = try CheckedZone(file, origin: origin).records
        return records.filter { $0.type == .SOA } + records.filter { $0.type != .SOA }
    }
}
