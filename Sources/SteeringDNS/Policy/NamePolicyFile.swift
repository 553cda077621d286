import AddressPools
import Documents

/// The reasons why a policy file, or a file that it refers to, was refused.
public struct NamePolicyError: Error, Sendable, CustomStringConvertible {
    /// At least one sentence; each gives the place, the problem and the remedy.
    public let messages: [String]

    /// The messages, one per line.
    public var description: String { messages.joined(separator: "\n") }

    init(_ messages: [String]) { self.messages = messages }
}

/// Reads the name half of a policy file.
///
/// ```yaml
/// pools:
///   web: [192.0.2.0/24, 2001:db8::/44]
///   sale:
///     prefixes: 198.51.100.0/24     # prefixes-from: FILE instead, or in addition
///     without-ends: true            # never hand out 198.51.100.0 and .255
///     drained-from: drained.txt     # prefixes that are no longer handed out; `steer-dns drain` writes it
/// include: more.yaml                # files with the same keys, whose contents come before these
/// names:
///   zones:
///     - example.com.zone            # RFC 1035; or { file: ..., origin: example.com }
///   lists:
///     customers: customers.txt      # one name per line, with attributes: www.example.com account=free
///   client-subnet: use              # use the EDNS client subnet as the client; default: ignore
///   policies:                       # the first that matches decides
///     - name: free-accounts
///       list: customers             # conditions: list, attribute, exact, suffix, types, clients,
///                                   # clients-from, site
///       attribute: account=free
///       pool: sale
///       select: random              # random (the default), name, client or fixed
///       answers: 4                  # so many distinct addresses; default: 1
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
/// Parsing is strict, as for the socket half: unknown keys are errors. So are policies that can never decide, undefined
/// pools, and policies marked `exclusive: true` that overlap with others. Errors name the line.
public enum NamePolicyFile {
    /// Reports how far a list has been read: its name, the bytes read so far, and its size in bytes, nil if not known.
    public typealias Progress = (_ list: String, _ read: Int, _ size: Int?) -> Void

    /// Reads a policy file and all files that it refers to.
    ///
    /// - Parameters:
    ///   - path: A YAML file, or JSON if its name ends in `.json`; `-` for YAML on standard input. At most 64 MiB.
    ///   - site: The site to answer for. Policies of other sites never match; without a site, neither do those of any
    ///     site.
    ///   - previous: The value to replace, if any. Its names are reused, and no list is read, if all lists are the same
    ///     files, unchanged.
    ///   - progress: Called after each chunk of a list, at most 1 MiB.
    /// - Returns: The zones and policies, ready to be served.
    /// - Throws: ``NamePolicyError`` if a file cannot be read or is malformed, if the policies contradict each other or
    ///   the zones, or if the last policy does not match every query.
    public static func read(
        contentsOf path: String, site: String? = nil, reusing previous: ServedData? = nil, progress: Progress? = nil
    ) throws(NamePolicyError) -> ServedData {
        let bytes: [UInt8]
        do {
            bytes = path == "-" ? try InputFile.standardInput("standard input") : try InputFile.contents(of: path)
        } catch { throw NamePolicyError([error.message]) }
        return try parse(
            bytes, name: path == "-" ? "standard input" : path, isJSON: path.hasSuffix(".json"),
            directory: path == "-" ? "." : InputFile.directory(of: path), site: site, reusing: previous,
            progress: progress)
    }

    /// Parses a policy from bytes, and reads the files that it refers to.
    ///
    /// - Parameters:
    ///   - bytes: The text in UTF-8.
    ///   - name: The name of the text in errors.
    ///   - isJSON: Whether the text is JSON instead of YAML.
    ///   - directory: The directory that relative paths start from.
    ///   - site: The site to answer for. Policies of other sites never match; without a site, neither do those of any
    ///     site.
    ///   - previous: The value to replace, if any. Its names are reused, and no list is read, if all lists are the same
    ///     files, unchanged.
    ///   - progress: Called after each chunk of a list, at most 1 MiB.
    /// - Returns: The zones and policies, ready to be served.
    /// - Throws: ``NamePolicyError`` if the text is malformed, if a file cannot be read or is malformed, if the
    ///   policies contradict each other or the zones, or if the last policy does not match every query.
    public static func parse(
        _ bytes: [UInt8], name: String, isJSON: Bool = false, directory: String, site: String? = nil,
        reusing previous: ServedData? = nil, progress: Progress? = nil
    ) throws(NamePolicyError) -> ServedData {
        let draft: NamePolicyDraft
        do {
            let (root, source) = try Document.whole(
                of: bytes, isJSON ? .json : .yaml, named: name, directory: directory,
                empty: "write names: with zones and policies")
            var decoder = NamePolicyDecoder(source: source, directory: directory)
            draft = try decoder.draft(of: root)
        } catch { throw NamePolicyError([error.message]) }
        return try draft.served(site: site, reusing: previous, progress: progress)
    }
}
