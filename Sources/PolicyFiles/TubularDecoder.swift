import Documents
import Steering

/// Decodes a policy from bindings of cloudflare/tubular.
///
/// Precedence is the same as there: the longer prefix, then a single port over all ports. As there, a bare address is a
/// prefix of one address, and host bits of a prefix are ignored (its help has `::1/64`).
enum TubularDecoder {
    static func policy(of root: Node, _ source: Source) throws(DocumentError) -> Policy {
        let file = try Mapping(root, "a tubular file", keys: ["bindings"], in: source)
        var bindings = PlacedBindings()
        let list = try file.required("bindings", "write bindings, or unload if nothing is to be steered any more")
        for node in try source.bindings(list) {
            let entry = try Mapping(node, "a tubular binding", keys: ["label", "prefix", "port"], in: source)
            let label = try source.label(try entry.required("label", "name the label of its socket"))
            let prefixNode = try entry.required("prefix", "write a prefix such as \"192.0.2.0/24\"")
            let prefix = try prefix(prefixNode, source)
            let ports = if let node = entry["port"] { try ports(node, source) } else { PortSet.all }
            let place = source.place(prefixNode.position)
            try bindings.append(at: place) { () throws(SteeringError) in
                try Binding(.both, to: prefix, ports: ports, .label(label))
            }
        }
        return try bindings.policy()
    }

    private static func ports(_ node: Node, _ source: Source) throws(DocumentError) -> PortSet {
        let remedy = "write a number from 1 to 65535, or 0 for every port"
        let text = try source.text(node, of: "port", remedy)
        guard let port = UInt16(text), text.utf8.first != UInt8(ascii: "+"),
            port == 0 ? text == "0" : text.utf8.first != UInt8(ascii: "0")
        else {
            throw source.error(at: node.position, "\(quoted(text)) is not a port of tubular: \(remedy)")
        }
        return port == 0 ? .all : [PortRange(port)]
    }

    private static func prefix(_ node: Node, _ source: Source) throws(DocumentError) -> IPPrefix {
        let text = try source.text(node, of: "prefix", "write a prefix such as \"192.0.2.0/24\"")
        let prefix: IPPrefix
        do { prefix = try lenientPrefix(text) } catch { throw source.error(at: node.position, error.message) }
        // tubular treats IPv4-mapped prefixes as IPv4. Here they would silently match nothing, since the program sees
        // IPv4 packets as IPv4.
        guard !prefix.isIPv4Mapped else {
            throw source.error(
                at: node.position, "\(prefix) is an IPv4-mapped prefix: write \(prefix.unmapped)")
        }
        return prefix
    }

    private static func lenientPrefix(_ text: String) throws(AddressError) -> IPPrefix {
        do { return try IPPrefix(text) } catch {
            switch error.code {
            case .missingPrefixLength:
                let address = try IPAddress(text)
                return IPPrefix(masking: address, length: address.family.bitWidth)
            case .hostBitsSet:
                let parts = text.split(separator: "/")
                guard parts.count == 2, let length = Int(parts[1]) else { throw error }
                return IPPrefix(masking: try IPAddress(parts[0]), length: length)
            default: throw error
            }
        }
    }
}
