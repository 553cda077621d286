import Documents
public import Steering

/// How a policy is written in a file.
public enum PolicyFormat: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// YAML: one document without anchors, aliases and tags. Needs the package's trait `YAML`, which is on
    /// unless a dependency on the package says otherwise.
    case yaml
    /// JSON, with the same keys.
    case json
    /// The JSON that `tubectl load-bindings` of cloudflare/tubular reads: `label`, `prefix` and `port`. Each of its
    /// bindings is one of TCP and UDP, and port 0, or none, means every port.
    case tubular

    /// "yaml", "json" or "tubular".
    public var description: String { rawValue }
}

/// Policies as text.
///
/// ```yaml
/// labels:                      # optional: labels with options other than the default ones
///   web:
///     without-socket: pass
///     allow: { users: [www-data], groups: [web] }   # this and start: for steerd
///     start: { command: [/usr/bin/web, --quiet], user: www-data }
/// bindings:
///   - label: web               # or outcome: refuse | pass
///     protocols: tcp           # tcp | udp | tcp+udp, or a list
///     prefixes: [192.0.2.0/24, 2001:db8::/64]
///     ports: 80,443,8000-8999  # or one number, a list of these, or all
///   - outcome: refuse
///     protocols: tcp+udp
///     prefixes-from: blocked.txt    # one prefix a line; the path is relative to this file
///     ports: all
///   - label: admin
///     protocols: tcp
///     prefixes: 192.0.2.0/24
///     ports: 22
///     from: 198.51.100.0/24    # optional: source prefixes, one or a list
///     on: eth1                 # optional: interfaces, one or a list; needs Linux 5.17
/// ```
///
/// Lists give a binding for each of their elements; of sources, for each of a prefix' family.
///
/// Reading is strict. An unknown, repeated or missing key, a value of the wrong kind, bindings that conflict: each
/// is an `invalidPolicyFile` error that begins with `FILE:LINE:COLUMN`. Values are taken as they are written, so the
/// label `no` is the text "no" and the port `080` is an error. A policy without bindings is not an error here.
public enum PolicyFile {
    /// The largest file that is read, in bytes.
    public static let maximumSize = Document.maximumSize

    /// Reads a policy from a file.
    ///
    /// - Parameters:
    ///   - path: a regular file, a pipe, or "-" for standard input.
    ///   - format: how it is written; without it, JSON if the name ends in `.json`, otherwise YAML.
    /// - Throws: `invalidPolicyFile` when the file cannot be read, is too large, or is not a policy.
    public static func read(contentsOf path: String, format: PolicyFormat? = nil) throws(SteeringError) -> Policy {
        let format = format ?? self.format(of: path)
        if path == "-" {
            let name = "standard input"
            let bytes = try policyFile { () throws(DocumentError) in try InputFile.standardInput(name) }
            return try parse(bytes, name: name, format: format, directory: ".")
        }
        let bytes = try policyFile { () throws(DocumentError) in try InputFile.contents(of: path, mayBePipe: true) }
        return try parse(bytes, name: path, format: format, directory: InputFile.directory(of: path))
    }

    /// Reads a policy and what steerd does for its labels from a file, YAML or JSON by its name.
    ///
    /// - Throws: As ``read(contentsOf:format:)``; also when a user or group is not one of this machine.
    public static func readForService(contentsOf path: String) throws(SteeringError) -> ServicePolicy {
        try policyFile { () throws(DocumentError) in
            try decode(
                try InputFile.contents(of: path), name: path, format: format(of: path),
                directory: InputFile.directory(of: path), findsAccounts: true)
        }
    }

    private static func format(of path: String) -> PolicyFormat { path.hasSuffix(".json") ? .json : .yaml }

    /// Reads a policy from text.
    ///
    /// - Parameters:
    ///   - text: the whole text.
    ///   - name: what errors call it.
    ///   - format: how it is written.
    ///   - directory: where the paths of `prefixes-from` begin; without it, the text may not name files.
    /// - Throws: `invalidPolicyFile` when the text is not a policy.
    public static func parse(
        _ text: some StringProtocol, name: String, format: PolicyFormat, directory: String? = nil
    ) throws(SteeringError) -> Policy {
        try parse(Array(text.utf8), name: name, format: format, directory: directory)
    }

    /// Reads a policy from bytes, which must be UTF-8.
    ///
    /// - Parameters:
    ///   - bytes: the whole text.
    ///   - name: what errors call it.
    ///   - format: how it is written.
    ///   - directory: where the paths of `prefixes-from` begin; without it, the text may not name files.
    /// - Throws: `invalidPolicyFile` when the bytes are not a policy.
    public static func parse(
        _ bytes: [UInt8], name: String, format: PolicyFormat, directory: String? = nil
    ) throws(SteeringError) -> Policy {
        try policyFile { () throws(DocumentError) in
            try decode(bytes, name: name, format: format, directory: directory, findsAccounts: false).policy
        }
    }

    private static func decode(
        _ bytes: [UInt8], name: String, format: PolicyFormat, directory: String?, findsAccounts: Bool
    ) throws(DocumentError) -> ServicePolicy {
        let source = Source(name: name)
        let root = try Document.root(
            of: bytes, format == .yaml ? .yaml : .json, in: source,
            empty: "write bindings, or unload if nothing is to be steered any more")
        if format == .tubular {
            return ServicePolicy(policy: try TubularDecoder.policy(of: root, source), services: [:])
        }
        return try PolicyDecoder.policy(of: root, source, directory, findsAccounts: findsAccounts)
    }

    /// What is wrong with a document is what is wrong with a policy file.
    private static func policyFile<Value>(
        _ read: () throws(DocumentError) -> Value
    ) throws(SteeringError) -> Value {
        do { return try read() } catch { throw SteeringError(.invalidPolicyFile, error.message) }
    }
}
