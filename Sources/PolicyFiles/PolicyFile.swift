import Documents
public import Steering

/// The format of a policy file.
public enum PolicyFormat: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// YAML: one document without anchors, aliases or tags. Requires the package trait `YAML`, which is enabled by
    /// default.
    case yaml
    /// JSON with the same keys.
    case json
    /// The JSON of `tubectl load-bindings` in cloudflare/tubular: `label`, `prefix` and `port`. Each of its bindings
    /// applies to TCP and UDP; port 0, or no port, means every port.
    case tubular

    /// "yaml", "json" or "tubular".
    public var description: String { rawValue }
}

/// Reads and writes policy files.
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
/// `include` names files with the same keys, one or a list, whose contents come before those of the file.
///
/// An entry with lists makes one binding for each combination of their elements; a prefix combines only with sources of
/// its own family. A list of ports makes one port set.
///
/// Parsing is strict. An unknown, repeated or missing key, a value of the wrong type, and conflicting bindings are
/// `invalidPolicyFile` errors that begin with `FILE:LINE:COLUMN`. Values are not converted, so the label `no` is the
/// text "no", and the port `080` is an error. An empty list of bindings is valid here.
public enum PolicyFile {
    /// The maximum size of a file, in bytes.
    public static let maximumSize = Document.maximumSize

    /// Reads a policy from a file.
    ///
    /// - Parameters:
    ///   - path: A regular file, a pipe, or "-" for standard input.
    ///   - format: The format of the file; by default JSON if the name ends in `.json`, otherwise YAML.
    /// - Returns: The policy, whose bindings do not conflict.
    /// - Throws: `invalidPolicyFile` if the file cannot be read, is too large, or is not a valid policy.
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

    /// Reads a policy and the options of its labels for steerd from a file.
    ///
    /// - Parameter path: A regular file; JSON if the name ends in `.json`, otherwise YAML.
    /// - Returns: The policy, whose bindings do not conflict, with the options of labels.
    /// - Throws: `invalidPolicyFile` if the file cannot be read, is too large, or is not a valid policy, or if this
    ///   machine does not have a user or group in it.
    public static func readForService(contentsOf path: String) throws(SteeringError) -> ServicePolicy {
        try policyFile { () throws(DocumentError) in
            try decode(
                try InputFile.contents(of: path), name: path, format: format(of: path),
                directory: InputFile.directory(of: path), findsAccounts: true)
        }
    }

    private static func format(of path: String) -> PolicyFormat { path.hasSuffix(".json") ? .json : .yaml }

    /// Parses a policy from text.
    ///
    /// - Parameters:
    ///   - text: The complete text.
    ///   - name: The name of the text in errors.
    ///   - format: The format of the text.
    ///   - directory: The base of relative paths; if `nil`, the text must not refer to files.
    /// - Returns: The policy, whose bindings do not conflict.
    /// - Throws: `invalidPolicyFile` if the text is not a valid policy, or if a file that it refers to cannot be read.
    public static func parse(
        _ text: some StringProtocol, name: String, format: PolicyFormat, directory: String? = nil
    ) throws(SteeringError) -> Policy {
        try parse(Array(text.utf8), name: name, format: format, directory: directory)
    }

    /// Parses a policy from bytes.
    ///
    /// - Parameters:
    ///   - bytes: The complete text, in UTF-8.
    ///   - name: The name of the text in errors.
    ///   - format: The format of the text.
    ///   - directory: The base of relative paths; if `nil`, the text must not refer to files.
    /// - Returns: The policy, whose bindings do not conflict.
    /// - Throws: `invalidPolicyFile` if the bytes are not a valid policy, or if a file that they refer to cannot be
    ///   read.
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
        let empty = "write bindings, or unload if nothing is to be steered any more"
        if format == .tubular {
            let source = Source(name: name)
            let root = try Document.root(of: bytes, .json, in: source, empty: empty)
            return ServicePolicy(policy: try TubularDecoder.policy(of: root, source))
        }
        let (root, source) = try Document.whole(
            of: bytes, format == .yaml ? .yaml : .json, named: name, directory: directory, empty: empty)
        return try PolicyDecoder.policy(of: root, source, directory, findsAccounts: findsAccounts)
    }

    /// Converts document errors to `invalidPolicyFile`.
    private static func policyFile<Value>(
        _ read: () throws(DocumentError) -> Value
    ) throws(SteeringError) -> Value {
        do { return try read() } catch { throw SteeringError(.invalidPolicyFile, error.message) }
    }
}
