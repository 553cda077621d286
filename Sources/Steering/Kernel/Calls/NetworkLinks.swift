import CSteering
import Glibc

/// A network interface, as far as steering needs it.
struct NetworkLink: Sendable, Hashable {
    let index: UInt32
    /// The name, followed by alternative names.
    let names: [String]
    /// The index of its master interface, on which its packets arrive; 0 for none.
    let master: UInt32
    /// The kind, such as `bridge` or `vrf`; empty for hardware.
    let kind: String

    var name: String { names[0] }
}

/// The interfaces of the calling thread's network namespace and their addresses. Needs no privilege.
struct NetworkLinks: Sendable {
    let all: [UInt32: NetworkLink]

    /// Lists the interfaces.
    ///
    /// - Throws: `systemCall`.
    init() throws(SteeringError) {
        let netlink = try NetlinkSocket(CInt(NETLINK_ROUTE))
        let links = try netlink.dump(UInt16(RTM_GETLINK), bytes(of: ifinfomsg())) { _, payload in NetworkLink(payload) }
        all = Dictionary(links.map { ($0.index, $0) }) { first, _ in first }
    }

    /// Returns the interface with a name or alternative name.
    func named(_ name: InterfaceName) -> NetworkLink? { all.values.first { $0.names.contains(name.name) } }

    /// Returns the topmost master of an interface, on which its packets arrive; nil if it has none.
    func receiver(of link: NetworkLink) -> NetworkLink? {
        guard let master = all[link.master] else { return nil }
        return receiver(of: master) ?? master
    }

    /// Returns the addresses of all interfaces.
    ///
    /// - Throws: `systemCall`.
    static func addresses() throws(SteeringError) -> [IPAddress] {
        let netlink = try NetlinkSocket(CInt(NETLINK_ROUTE))
        return try netlink.dump(UInt16(RTM_GETADDR), bytes(of: ifaddrmsg())) { _, payload in
            var own: IPAddress?, other: IPAddress?
            forEachAttribute(in: payload.dropFirst(MemoryLayout<ifaddrmsg>.size)) { type, content in
                // On a point-to-point interface, IFA_ADDRESS is the remote address.
                if type == 2 /* IFA_LOCAL */ { own = IPAddress(bytes: content) }
                if type == 1 /* IFA_ADDRESS */ { other = IPAddress(bytes: content) }
            }
            return own ?? other
        }
    }
}

extension NetworkLink {
    fileprivate init?(_ payload: ArraySlice<UInt8>) {
        guard let header = value(ifinfomsg.self, in: payload) else { return nil }
        var names: [String] = [], others: [String] = [], master: UInt32 = 0, kind = ""
        func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
        forEachAttribute(in: payload.dropFirst(MemoryLayout<ifinfomsg>.size)) { type, content in
            switch type {
            case 3 /* IFLA_IFNAME */: names = [text(content)]
            case 10 /* IFLA_MASTER */: master = value(UInt32.self, in: content) ?? 0
            case 18 /* IFLA_LINKINFO */:
                forEachAttribute(in: content) { type, content in
                    if type == 1 /* IFLA_INFO_KIND */ { kind = text(content) }
                }
            case 52 /* IFLA_PROP_LIST */:
                forEachAttribute(in: content) { type, content in
                    if type == 53 /* IFLA_ALT_IFNAME */ { others.append(text(content)) }
                }
            default: break
            }
        }
        guard !names.isEmpty else { return nil }
        self.init(index: UInt32(header.ifi_index), names: names + others, master: master, kind: kind)
    }
}
