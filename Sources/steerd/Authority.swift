import Glibc
import PolicyFiles
import ServiceSupport
import Steering

/// How the policy file knows a client.
enum Standing {
    /// It may use no label.
    case stranger
    /// A group that it belongs to may use a label. In a user namespace one member can be many users.
    case member
    /// Its user may use a label.
    case named
}

/// Decides who may use which label: root, steerd's own user, and those whom the policy file allows.
struct Authority: Sendable {
    private let allowances: [Label: Allowance]
    /// The groups that the policy file allows anything.
    let groups: Set<gid_t>

    private let ownUser = geteuid()

    init(_ service: ServicePolicy) {
        allowances = service.services.mapValues(\.allowance)
        groups = allowances.values.reduce(into: []) { $0.formUnion($1.groups) }
    }

    func allows(_ peer: Peer, _ label: Label) -> Bool {
        isPrivileged(peer) || allowances[label].map { $0.includes(peer) } == true
    }

    /// Whether a client may use any label.
    func allowsAnything(_ peer: Peer) -> Bool {
        isPrivileged(peer) || allowances.values.contains { $0.includes(peer) }
    }

    /// Returns how a client may use any label.
    func standing(of peer: Peer) -> Standing {
        if isPrivileged(peer) || allowances.values.contains(where: { $0.users.contains(peer.user) }) { return .named }
        return allowsAnything(peer) ? .member : .stranger
    }

    /// Whether a client may have the policy file reread.
    func mayReload(_ peer: Peer) -> Bool { isPrivileged(peer) }

    private func isPrivileged(_ peer: Peer) -> Bool { peer.user == 0 || peer.user == ownUser }
}

extension Allowance {
    fileprivate func includes(_ peer: Peer) -> Bool {
        users.contains(peer.user) || !groups.isDisjoint(with: peer.groups)
    }
}
