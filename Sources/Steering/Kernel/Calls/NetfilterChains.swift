import Glibc

/// The chains of nf_tables that may rewrite a packet's destination before steering sees it, such as those of DNAT.
///
/// Needs CAP_NET_ADMIN over the namespace. Tables of the former iptables (`iptables-legacy`) are not listed.
enum NetfilterChains {
    /// Names the chains that have rules, as `nft list chain` takes them.
    ///
    /// - Throws: `systemCall`, with EPERM without the capability.
    static func translating(_ family: IPFamily) throws(SteeringError) -> [String] {
        let netlink = try NetlinkSocket(12 /* NETLINK_NETFILTER */)
        // NFT_MSG_GETCHAIN of NFNL_SUBSYS_NFTABLES; struct nfgenmsg: the family, 0 for all, a version, an identifier.
        return try netlink.dump(10 << 8 | 4, [0, 0, 0, 0]) { _, payload in name(payload, family) }
    }

    /// The name of a chain of type nat at the prerouting hook that has rules; nil for all others.
    private static func name(_ payload: ArraySlice<UInt8>, _ packets: IPFamily) -> String? {
        let families: [UInt8: String] = packets == .ipv4 ? [1: "inet", 2: "ip"] : [1: "inet", 10: "ip6"]
        guard let family = payload.first.flatMap({ families[$0] }) else { return nil }
        var table = "", chain = "", type = "", hook: UInt32?, rules: UInt32 = 0
        forEachAttribute(in: payload.dropFirst(4)) { attribute, content in
            switch attribute {
            case 1 /* NFTA_CHAIN_TABLE */: table = text(content)
            case 3 /* NFTA_CHAIN_NAME */: chain = text(content)
            case 4 /* NFTA_CHAIN_HOOK */:
                forEachAttribute(in: content) { attribute, content in
                    if attribute == 1 /* NFTA_HOOK_HOOKNUM */ { hook = number(content) }
                }
            case 6 /* NFTA_CHAIN_USE */: rules = number(content) ?? 0
            case 7 /* NFTA_CHAIN_TYPE */: type = text(content)
            default: break
            }
        }
        guard type == "nat", hook == 0 /* NF_INET_PRE_ROUTING */, rules > 0 else { return nil }
        return "\(family) \(table) \(chain)"
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32? {
        value(UInt32.self, in: bytes).map(UInt32.init(bigEndian:))
    }
}
