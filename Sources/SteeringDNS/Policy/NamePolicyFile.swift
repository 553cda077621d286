import AddressPools
import Documents

/// Why a policy of names, or something that it refers to, cannot be used: sentences with their places, one a line.
public struct NamePolicyError: Error, Sendable, CustomStringConvertible {
    /// What is wrong, all of it that was found.
    public let messages: [String]

    /// The messages, one a line.
    public var description: String { messages.joined(separator: "\n") }

    init(_ messages: [String]) { self.messages = messages }
}

/// The name half of a policy file.
///
/// ```yaml
/// pools:
///   web: [192.0.2.0/24, 2001:db8::/44]
///   sale:
///     prefixes: 198.51.100.0/24     # and, or instead, prefixes-from: FILE
///     without-ends: true            # never hand out 198.51.100.0 and .255
///     drained-from: drained.txt     # prefixes that are no longer handed out; `steer-dns drain` writes it
/// names:
///   zones:
///     - example.com.zone            # RFC 1035; or { file: ..., origin: example.com }
///   lists:
///     customers: customers.txt      # a name a line, and attributes: www.example.com account=free
///   client-subnet: use              # or ignore, the default: whether EDNS client subnet counts as the client
///   policies:                       # the first that matches decides
///     - name: free-accounts
///       list: customers             # conditions: list, attribute, exact, suffix, types, clients, site
///       attribute: account=free
///       pool: sale
///       select: random              # random (the default), name, client or fixed
///       ttl: 30
///     - name: internal
///       suffix: internal.example.com
///       clients: [10.0.0.0/8]
///       outcome: refuse             # instead of a pool: pass (the zone alone answers) or refuse
///     - name: default               # the last matches everything
///       pool: web
///       ttl: 60
/// bindings: [...]                   # the socket half, for `steer`
/// ```
///
/// Reading is strict, as for the socket half. Policies that can never decide, pools that are not there, and policies
/// that say they are `exclusive: true` and overlap with others are errors that name their lines.
public enum NamePolicyFile {
    /// How the reading of lists goes on: the list's name, the bytes that were read, and of how many.
    public typealias Progress = (_ list: String, _ read: Int, _ size: Int?) -> Void

    /// Reads a policy and all that it refers to.
    ///
    /// - Parameters:
    ///   - path: YAML, or JSON if its name ends in `.json`; "-" for standard input, as YAML.
    ///   - site: the site for which to answer; policies of others are left out.
    ///   - previous: what was read before. Lists that are the same files, unchanged, are not read again.
    ///   - progress: told now and then how far the lists of names are read.
    /// - Throws: When something cannot be read, or makes no sense together.
    public static func read(
        contentsOf path: String, site: String? = nil, reusing previous: Serving? = nil, progress: Progress? = nil
    ) throws(NamePolicyError) -> Serving {
        let bytes: [UInt8]
        do {
            bytes = path == "-" ? try InputFile.standardInput("standard input") : try InputFile.contents(of: path)
        } catch { throw NamePolicyError([error.message]) }
        return try parse(
            bytes, name: path == "-" ? "standard input" : path, isJSON: path.hasSuffix(".json"),
            directory: path == "-" ? "." : InputFile.directory(of: path), site: site, reusing: previous,
            progress: progress)
    }

    /// Reads a policy from bytes, and what it refers to from files.
    ///
    /// - Parameters:
    ///   - bytes: the text.
    ///   - name: what errors call it.
    ///   - isJSON: whether it is JSON, not YAML.
    ///   - directory: where the paths in it begin.
    ///   - site: the site for which to answer.
    ///   - previous: what was read before. Lists that are the same files, unchanged, are not read again.
    ///   - progress: told now and then how far the lists of names are read.
    /// - Throws: When something cannot be read, or makes no sense together.
    public static func parse(
        _ bytes: [UInt8], name: String, isJSON: Bool = false, directory: String, site: String? = nil,
        reusing previous: Serving? = nil, progress: Progress? = nil
    ) throws(NamePolicyError) -> Serving {
        let source = Source(name: name)
        let draft: NamePolicyDraft
        do {
            let root = try Document.root(
                of: bytes, isJSON ? .json : .yaml, in: source, empty: "write names: with zones and policies")
            draft = try NamePolicyDecoder(source: source, directory: directory).draft(of: root)
        } catch { throw NamePolicyError([error.message]) }
        return try draft.serving(site: site, reusing: previous, progress: progress)
    }
}
