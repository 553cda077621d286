@_exported public import AddressPools
