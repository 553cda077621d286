import Glibc
import PolicyFiles
import Steering

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

    /// Whether a client may have the policy file reread.
    func mayReload(_ peer: Peer) -> Bool { isPrivileged(peer) }

    private func isPrivileged(_ peer: Peer) -> Bool { peer.user == 0 || peer.user == ownUser }
}

extension Allowance {
    fileprivate func includes(_ peer: Peer) -> Bool {
        users.contains(peer.user) || !groups.isDisjoint(with: peer.groups)
    }
}
