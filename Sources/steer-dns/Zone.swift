import AddressPools
import ArgumentParser
import Foundation
import SteeringDNS

/// `steer-dns zone`.
struct Zone: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write the policy's answers as zone files, for other name servers.")

    @OptionGroup var policy: PolicyOptions

    func run() throws {}
}
