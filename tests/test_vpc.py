"""The VPC's control plane, driven by boto3 and the AWS CLI."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import private_cloud


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


@pytest.fixture
def name(name):
    return name("vpc")


def code(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def spec(kind, **tags):
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def subnet(ec2, vpc):
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.11.0/24")["Subnet"]["SubnetId"]


def main_table(ec2, vpc):
    tables = ec2.describe_route_tables(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    )
    return tables["RouteTables"][0]


def default_group(ec2, vpc):
    found = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )
    return found["SecurityGroups"][0]


def test_a_region_begins_with_a_default_vpc(cloud):
    ec2 = cloud.client("ec2", region="eu-west-1")
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert vpc["IsDefault"] and vpc["CidrBlock"] == "172.31.0.0/16" and vpc["State"] == "available"
    subnets = ec2.describe_subnets()["Subnets"]
    assert {s["AvailabilityZone"] for s in subnets} == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}
    assert all(s["DefaultForAz"] and s["MapPublicIpOnLaunch"] for s in subnets)
    assert all(s["AvailableIpAddressCount"] == 4091 for s in subnets)
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"State": "available", "VpcId": vpc["VpcId"]}]
    routes = {r["DestinationCidrBlock"]: r["GatewayId"] for r in main_table(ec2, vpc["VpcId"])["Routes"]}
    assert routes == {"172.31.0.0/16": "local", "0.0.0.0/0": gateway["InternetGatewayId"]}
    (acl,) = ec2.describe_network_acls()["NetworkAcls"]
    assert acl["IsDefault"] and len(acl["Associations"]) == 3
    assert sorted(e["RuleNumber"] for e in acl["Entries"]) == [100, 100, 32767, 32767]
    group = default_group(ec2, vpc["VpcId"])
    assert group["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]
    (options,) = ec2.describe_dhcp_options(DhcpOptionsIds=[vpc["DhcpOptionsId"]])["DhcpOptions"]
    assert {"Key": "domain-name", "Values": [{"Value": "eu-west-1.compute.internal"}]} in options["DhcpConfigurations"]
    assert code(ec2.create_default_vpc) == "DefaultVpcAlreadyExists"


def test_what_a_vpc_comes_with_cannot_be_deleted(ec2, vpc):
    assert code(ec2.delete_security_group, GroupId=default_group(ec2, vpc)["GroupId"]) == "CannotDelete"
    assert code(ec2.delete_route_table, RouteTableId=main_table(ec2, vpc)["RouteTableId"]) == "DependencyViolation"
    ec2.delete_vpc(VpcId=vpc)
    assert code(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"
    of_it = [{"Name": "vpc-id", "Values": [vpc]}]
    assert ec2.describe_security_groups(Filters=of_it)["SecurityGroups"] == []


def test_vpc_blocks(ec2, vpc):
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/8") == "InvalidVpc.Range"
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/29") == "InvalidVpc.Range"
    assert code(ec2.create_vpc, CidrBlock="ten/16") == "InvalidParameterValue"
    canonical = ec2.create_vpc(CidrBlock="10.9.7.5/16")["Vpc"]
    assert canonical["CidrBlock"] == "10.9.0.0/16"
    block = ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.2.0.0/16")["CidrBlockAssociation"]
    assert code(ec2.associate_vpc_cidr_block, VpcId=vpc, CidrBlock="10.2.3.0/24") == "InvalidVpc.Range"
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.2.0.0/24")["Subnet"]["SubnetId"]
    assert code(ec2.disassociate_vpc_cidr_block, AssociationId=block["AssociationId"]) == "InvalidCidrBlock.InUse"
    local = [r["DestinationCidrBlock"] for r in main_table(ec2, vpc)["Routes"]]
    assert local == ["10.1.0.0/16", "10.2.0.0/16"]
    ec2.delete_subnet(SubnetId=subnet)
    ec2.disassociate_vpc_cidr_block(AssociationId=block["AssociationId"])
    (shown,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    primary = shown["CidrBlockAssociationSet"][0]["AssociationId"]
    assert len(shown["CidrBlockAssociationSet"]) == 1
    assert code(ec2.disassociate_vpc_cidr_block, AssociationId=primary) == "OperationNotPermitted"


def test_vpc_attributes(ec2, vpc):
    def attribute(name):
        shown = ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
        return shown[name[0].upper() + name[1:]]["Value"]

    assert attribute("enableDnsSupport") and not attribute("enableDnsHostnames")
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert attribute("enableDnsSupport") and attribute("enableDnsHostnames")


def test_subnets(ec2, vpc, subnet):
    (shown,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert shown["AvailableIpAddressCount"] == 251
    assert shown["SubnetArn"].endswith(f":subnet/{subnet}")
    for block, error in [
        ("10.1.11.128/25", "InvalidSubnet.Conflict"),
        ("10.1.0.0/29", "InvalidSubnet.Range"),
        ("10.3.0.0/24", "InvalidSubnet.Range"),
    ]:
        assert code(ec2.create_subnet, VpcId=vpc, CidrBlock=block) == error
    assert code(ec2.create_subnet, VpcId=vpc, CidrBlock="10.1.12.0/24", AvailabilityZone="us-east-1z") == "InvalidParameterValue"
    other = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.12.0/24", AvailabilityZoneId="use1-az3")["Subnet"]
    assert other["AvailabilityZone"] == "us-east-1c"
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    (shown,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert shown["MapPublicIpOnLaunch"]
    assert code(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"


def test_addresses_are_taken_and_given_back(ec2, vpc, subnet):
    def available():
        return ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]

    first = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.1.11.4")["NetworkInterface"]
    assert first["PrivateIpAddress"] == "10.1.11.4" and first["Status"] == "available"
    assert first["PrivateDnsName"] == "ip-10-1-11-4.ec2.internal"
    any_of_them = ec2.create_network_interface(SubnetId=subnet, SecondaryPrivateIpAddressCount=2)["NetworkInterface"]
    assert len(any_of_them["PrivateIpAddresses"]) == 3
    assert available() == 251 - 4
    for address, error in [
        ("10.1.11.4", "InvalidIPAddress.InUse"),
        ("10.1.11.3", "InvalidParameterValue"),
        ("10.1.11.255", "InvalidParameterValue"),
        ("10.1.12.4", "InvalidParameterValue"),
    ]:
        assert code(ec2.create_network_interface, SubnetId=subnet, PrivateIpAddress=address) == error
    assert code(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    given = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=first["NetworkInterfaceId"], PrivateIpAddresses=["10.1.11.77"]
    )
    assert given["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "10.1.11.77"}]
    ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=first["NetworkInterfaceId"], PrivateIpAddresses=["10.1.11.77"]
    )
    for interface in (first, any_of_them):
        ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    assert available() == 251
    ec2.delete_subnet(SubnetId=subnet)


def test_a_full_subnet_says_so(ec2, vpc):
    small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/28")["Subnet"]["SubnetId"]
    ec2.create_network_interface(SubnetId=small, SecondaryPrivateIpAddressCount=10)
    assert code(ec2.create_network_interface, SubnetId=small) == "InsufficientFreeAddressesInSubnet"


def test_internet_gateways_and_routes(ec2, vpc):
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    to_it = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    assert code(ec2.create_route, **to_it) == "InvalidParameterValue"
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    assert code(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc) == "Resource.AlreadyAssociated"
    assert code(ec2.delete_internet_gateway, InternetGatewayId=gateway) == "DependencyViolation"
    ec2.create_route(**to_it)
    ec2.create_route(**to_it)
    assert code(ec2.create_route, RouteTableId=table, DestinationCidrBlock="10.1.0.0/16", GatewayId=gateway) == "RouteAlreadyExists"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (shown,) = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert [(r["DestinationCidrBlock"], r["State"]) for r in shown["Routes"]] == [
        ("10.1.0.0/16", "active"),
        ("0.0.0.0/0", "blackhole"),
    ]
    found = ec2.describe_route_tables(
        Filters=[{"Name": "route.state", "Values": ["blackhole"]}, {"Name": "vpc-id", "Values": [vpc]}]
    )
    assert [t["RouteTableId"] for t in found["RouteTables"]] == [table]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    assert code(ec2.delete_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0") == "InvalidRoute.NotFound"
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    assert code(ec2.create_route, **to_it) == "InvalidInternetGatewayID.NotFound"
    for propagate in (ec2.enable_vgw_route_propagation, ec2.disable_vgw_route_propagation):
        assert code(propagate, RouteTableId=table, GatewayId="vgw-0123456789abcdef0") == "InvalidVpnGatewayID.NotFound"
        assert code(propagate, RouteTableId="rtb-0123456789abcdef0", GatewayId="vgw-0") == "InvalidRouteTableID.NotFound"


def test_route_table_associations(ec2, vpc, subnet):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    other = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    held = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    assert code(ec2.associate_route_table, RouteTableId=other, SubnetId=subnet) == "Resource.AlreadyAssociated"
    assert code(ec2.delete_route_table, RouteTableId=table) == "DependencyViolation"
    moved = ec2.replace_route_table_association(AssociationId=held, RouteTableId=other)["NewAssociationId"]
    assert moved != held
    ec2.delete_route_table(RouteTableId=table)
    ec2.disassociate_route_table(AssociationId=moved)
    main = main_table(ec2, vpc)["Associations"][0]["RouteTableAssociationId"]
    assert code(ec2.disassociate_route_table, AssociationId=main) == "InvalidParameterValue"
    ec2.replace_route_table_association(AssociationId=main, RouteTableId=other)
    assert main_table(ec2, vpc)["RouteTableId"] == other
    assert code(ec2.disassociate_route_table, AssociationId=held) == "InvalidAssociationID.NotFound"


def test_client_tokens(ec2, vpc, name):
    once = ec2.create_route_table(VpcId=vpc, ClientToken=name)["RouteTable"]["RouteTableId"]
    assert ec2.create_route_table(VpcId=vpc, ClientToken=name)["RouteTable"]["RouteTableId"] == once
    tagged = spec("route-table", other="1")
    assert code(ec2.create_route_table, VpcId=vpc, ClientToken=name, TagSpecifications=tagged) == "IdempotentParameterMismatch"


def test_security_groups(ec2, vpc, name):
    make = {"GroupName": name, "Description": "for a test", "VpcId": vpc}
    group = ec2.create_security_group(**make)
    assert group["SecurityGroupArn"].endswith(f":security-group/{group['GroupId']}")
    group = group["GroupId"]
    assert code(ec2.create_security_group, **make) == "InvalidGroup.Duplicate"
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissions"] == []
    assert shown["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    web = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
    everyone = {**web, "IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "office"}]}
    added = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[everyone])
    (rule,) = added["SecurityGroupRules"]
    assert rule["CidrIpv4"] == "10.0.0.0/8" and rule["Description"] == "office" and not rule["IsEgress"]
    assert code(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[everyone]) == "InvalidPermission.Duplicate"
    # Both or neither: the second is a duplicate, so the first is not added either.
    two = [{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, everyone]
    assert code(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=two) == "InvalidPermission.Duplicate"
    from_itself = {**web, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[from_itself])
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (permission,) = shown["IpPermissions"]
    assert len(permission["IpRanges"]) == 1 and permission["UserIdGroupPairs"][0]["GroupId"] == group
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    assert len(rules["SecurityGroupRules"]) == 3
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[
            {
                "SecurityGroupRuleId": rule["SecurityGroupRuleId"],
                "SecurityGroupRule": {**web, "ToPort": 88, "CidrIpv4": "0.0.0.0/0"},
            }
        ],
    )
    (changed,) = ec2.describe_security_group_rules(
        SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )["SecurityGroupRules"]
    assert (changed["ToPort"], changed["CidrIpv4"]) == (88, "0.0.0.0/0")
    assert code(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[everyone]) == "InvalidPermission.NotFound"
    gone = ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    assert len(gone["RevokedSecurityGroupRules"]) == 1
    ec2.delete_security_group(GroupId=group)
    assert code(ec2.delete_security_group, GroupId=group) == "InvalidGroup.NotFound"


def test_a_group_in_use_stays(ec2, vpc, subnet, name):
    def make(suffix):
        return ec2.create_security_group(GroupName=name + suffix, Description="x", VpcId=vpc)["GroupId"]

    front, back = make("-front"), make("-back")
    pair = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": front}]}
    ec2.authorize_security_group_ingress(GroupId=back, IpPermissions=[pair])
    assert code(ec2.delete_security_group, GroupId=front) == "DependencyViolation"
    interface = ec2.create_network_interface(SubnetId=subnet, Groups=[back])["NetworkInterface"]
    assert interface["Groups"] == [{"GroupId": back, "GroupName": name + "-back"}]
    assert code(ec2.delete_security_group, GroupId=back) == "DependencyViolation"
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    ec2.delete_security_group(GroupId=back)
    ec2.delete_security_group(GroupId=front)


@pytest.mark.parametrize(
    "permission",
    [
        {"IpProtocol": "tcp", "FromPort": 90, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 70000, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "http", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.1"}]},
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80},
    ],
)
def test_bad_rules(ec2, vpc, permission):
    group = default_group(ec2, vpc)["GroupId"]
    assert code(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission]) == "InvalidParameterValue"


def test_network_acls(ec2, vpc, subnet):
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]
    assert [e["RuleNumber"] for e in acl["Entries"]] == [32767, 32767]
    acl = acl["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 100, "Protocol": "6", "RuleAction": "allow", "Egress": False,
             "CidrBlock": "0.0.0.0/0", "PortRange": {"From": 80, "To": 80}}
    ec2.create_network_acl_entry(**entry)
    assert code(ec2.create_network_acl_entry, **entry) == "NetworkAclEntryAlreadyExists"
    assert code(ec2.create_network_acl_entry, **{**entry, "RuleNumber": 32767}) == "InvalidParameterValue"
    ec2.replace_network_acl_entry(**{**entry, "RuleAction": "deny"})
    by_subnet = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (default,) = ec2.describe_network_acls(Filters=by_subnet)["NetworkAcls"]
    (held,) = [a for a in default["Associations"] if a["SubnetId"] == subnet]
    new = ec2.replace_network_acl_association(
        AssociationId=held["NetworkAclAssociationId"], NetworkAclId=acl
    )["NewAssociationId"]
    (now,) = ec2.describe_network_acls(Filters=by_subnet)["NetworkAcls"]
    assert now["NetworkAclId"] == acl and now["Associations"][0]["NetworkAclAssociationId"] == new
    assert ("deny", {"From": 80, "To": 80}) in [(e["RuleAction"], e.get("PortRange")) for e in now["Entries"]]
    assert code(ec2.delete_network_acl, NetworkAclId=acl) == "DependencyViolation"
    assert code(ec2.delete_network_acl, NetworkAclId=default["NetworkAclId"]) == "InvalidParameterValue"
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    assert code(ec2.delete_network_acl_entry, NetworkAclId=acl, RuleNumber=100, Egress=False) == "InvalidNetworkAclEntry.NotFound"


def test_elastic_addresses(ec2, vpc, subnet):
    address = ec2.allocate_address(Domain="vpc")
    assert address["PublicIp"].startswith(("198.18.", "198.19."))
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    bind = {"AllocationId": address["AllocationId"], "NetworkInterfaceId": interface}
    assert code(ec2.associate_address, **bind) == "Gateway.NotAttached"
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    association = ec2.associate_address(**bind)["AssociationId"]
    (shown,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "association.public-ip", "Values": [address["PublicIp"]]}]
    )["NetworkInterfaces"]
    assert shown["Association"]["AllocationId"] == address["AllocationId"]
    assert code(ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc) == "DependencyViolation"
    assert code(ec2.release_address, AllocationId=address["AllocationId"]) == "InvalidIPAddress.InUse"
    other = ec2.allocate_address()["AllocationId"]
    assert code(
        ec2.associate_address, AllocationId=other, NetworkInterfaceId=interface, AllowReassociation=False
    ) == "Resource.AlreadyAssociated"
    ec2.disassociate_address(AssociationId=association)
    assert code(ec2.disassociate_address, AssociationId=association) == "InvalidAssociationID.NotFound"
    for allocation in (address["AllocationId"], other):
        ec2.release_address(AllocationId=allocation)
    assert code(ec2.describe_addresses, AllocationIds=[other]) == "InvalidAllocationID.NotFound"


def test_nat_gateways(ec2, vpc, subnet):
    allocation = ec2.allocate_address()["AllocationId"]
    make = {"SubnetId": subnet, "AllocationId": allocation}
    assert code(ec2.create_nat_gateway, **make) == "Gateway.NotAttached"
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    nat = ec2.create_nat_gateway(**make)["NatGateway"]
    assert nat["State"] in ("pending", "available")
    table = main_table(ec2, vpc)["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat["NatGatewayId"])
    interface = nat["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    assert code(ec2.delete_network_interface, NetworkInterfaceId=interface) == "InvalidNetworkInterface.InUse"
    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    (gone,) = ec2.describe_nat_gateways(NatGatewayIds=[nat["NatGatewayId"]])["NatGateways"]
    assert gone["State"] == "deleted"
    assert main_table(ec2, vpc)["Routes"][1]["State"] == "blackhole"
    ec2.release_address(AllocationId=allocation)
    ec2.delete_subnet(SubnetId=subnet)


def test_endpoints(ec2, vpc):
    table = main_table(ec2, vpc)["RouteTableId"]
    make = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3", "RouteTableIds": [table]}
    endpoint = ec2.create_vpc_endpoint(**make)["VpcEndpoint"]
    assert endpoint["State"] == "available" and endpoint["RouteTableIds"] == [table]
    assert code(ec2.create_vpc_endpoint, **make) == "RouteAlreadyExists"
    assert code(ec2.create_vpc_endpoint, VpcId=vpc, ServiceName="com.amazonaws.us-east-1.tea") == "InvalidServiceName"
    (route,) = [r for r in main_table(ec2, vpc)["Routes"] if "DestinationPrefixListId" in r]
    assert route["GatewayId"] == endpoint["VpcEndpointId"]
    (prefixes,) = ec2.describe_prefix_lists(PrefixListIds=[route["DestinationPrefixListId"]])["PrefixLists"]
    assert prefixes["PrefixListName"] == "com.amazonaws.us-east-1.s3"
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], RemoveRouteTableIds=[table])
    assert len(main_table(ec2, vpc)["Routes"]) == 1
    left = ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"], "vpce-00000000000000000"])
    assert [u["Error"]["Code"] for u in left["Unsuccessful"]] == ["InvalidVpcEndpointId.NotFound"]
    services = ec2.describe_vpc_endpoint_services()["ServiceNames"]
    assert services == ["com.amazonaws.us-east-1.dynamodb", "com.amazonaws.us-east-1.s3"]


def test_policies_of_endpoints(ec2, vpc):
    def shown():
        (endpoint,) = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["VpcEndpoints"]
        return endpoint["PolicyDocument"]

    def policy(**parts):
        statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:Get*", "Resource": "*", **parts}
        return json.dumps({"Statement": [{name: part for name, part in statement.items() if part}]}, indent=2)

    make = {"VpcId": vpc, "ServiceName": "com.amazonaws.us-east-1.s3"}
    mine = policy()
    made = ec2.create_vpc_endpoint(PolicyDocument=mine, **make)["VpcEndpoint"]
    change = {"VpcEndpointId": made["VpcEndpointId"]}
    assert made["PolicyDocument"] == shown() == mine
    bad = [
        "tea", "", "{}", policy(Principal=None), policy(Resource=None), policy(Effect="allow"), policy(Action="tea"),
        # Gateways know nobody in particular.
        policy(Principal={"AWS": "123456789012"}), policy(Principal=None, NotPrincipal={"AWS": "123456789012"}),
        policy(Sid="a" * 20_480),
    ]
    for text in bad:
        assert code(ec2.create_vpc_endpoint, PolicyDocument=text, **make) == "InvalidPolicyDocument"
        assert code(ec2.modify_vpc_endpoint, PolicyDocument=text, **change) == "InvalidPolicyDocument"
    both = {"PolicyDocument": mine, "ResetPolicy": True}
    assert code(ec2.modify_vpc_endpoint, **both, **change) == "InvalidParameterCombination"
    ec2.modify_vpc_endpoint(ResetPolicy=False, **change)
    assert shown() == mine
    other = policy(Action="*", Principal={"AWS": "*"})
    ec2.modify_vpc_endpoint(PolicyDocument=other, **change)
    assert shown() == other
    ec2.modify_vpc_endpoint(ResetPolicy=True, **change)
    (statement,) = json.loads(shown())["Statement"]
    assert statement == {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    details = ec2.describe_vpc_endpoint_services()["ServiceDetails"]
    assert [detail["VpcEndpointPolicySupported"] for detail in details] == [True, True]


def test_peering(ec2, vpc):
    other = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    peering = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)["VpcPeeringConnection"]
    assert peering["Status"]["Code"] == "pending-acceptance"
    peering = peering["VpcPeeringConnectionId"]
    assert code(ec2.delete_vpc, VpcId=other) == "DependencyViolation"
    table = main_table(ec2, vpc)["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="10.50.0.0/16", VpcPeeringConnectionId=peering)
    assert main_table(ec2, vpc)["Routes"][1]["State"] == "blackhole"
    accepted = ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)["VpcPeeringConnection"]
    assert accepted["Status"]["Code"] == "active"
    assert main_table(ec2, vpc)["Routes"][1]["State"] == "active"
    assert code(ec2.reject_vpc_peering_connection, VpcPeeringConnectionId=peering) == "InvalidStateTransition"
    ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    twin = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    failed = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=twin)["VpcPeeringConnection"]
    assert failed["Status"]["Code"] == "failed"
    ec2.delete_vpc(VpcId=other)


def test_dhcp_options(ec2, vpc):
    options = ec2.create_dhcp_options(
        DhcpConfigurations=[{"Key": "domain-name-servers", "Values": ["10.1.0.2", "10.1.0.3"]}]
    )["DhcpOptions"]["DhcpOptionsId"]
    ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    assert code(ec2.delete_dhcp_options, DhcpOptionsId=options) == "DependencyViolation"
    ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["DhcpOptionsId"] == "default"
    ec2.delete_dhcp_options(DhcpOptionsId=options)
    assert code(ec2.create_dhcp_options, DhcpConfigurations=[{"Key": "tea", "Values": ["x"]}]) == "InvalidParameterValue"


def test_tags_and_filters(ec2, name):
    made = [
        ec2.create_vpc(CidrBlock="10.77.0.0/16", TagSpecifications=spec("vpc", Name=f"{name}-{i}", set=name))["Vpc"]
        for i in range(3)
    ]
    assert {t["Key"] for t in made[0]["Tags"]} == {"Name", "set"}

    def found(*filters):
        wanted = [{"Name": key, "Values": values} for key, values in filters]
        return {v["VpcId"] for v in ec2.describe_vpcs(Filters=wanted)["Vpcs"]}

    ids = {v["VpcId"] for v in made}
    mine = ("tag:set", [name])
    assert found(mine) == ids
    assert found(("tag:Name", [f"{name}-*"])) == ids
    assert found(("tag:Name", [f"{name}-?"]), ("cidr", ["10.77.0.0/16"])) == ids
    assert found(mine, ("tag:Name", [f"{name}-0", f"{name}-2"])) == {made[0]["VpcId"], made[2]["VpcId"]}
    assert found(mine, ("cidr", ["10.78.*"])) == set()
    assert found(mine, ("is-default", ["false"])) == ids
    assert code(ec2.describe_vpcs, Filters=[{"Name": "colour", "Values": ["red"]}]) == "InvalidParameterValue"
    ec2.create_tags(Resources=[made[0]["VpcId"]], Tags=[{"Key": "extra", "Value": ""}])
    assert found(mine, ("tag-key", ["extra"])) == {made[0]["VpcId"]}
    shown = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [made[0]["VpcId"]]}])["Tags"]
    assert {t["Key"] for t in shown} == {"Name", "set", "extra"}
    assert {t["ResourceType"] for t in shown} == {"vpc"}
    ec2.delete_tags(Resources=[made[0]["VpcId"]], Tags=[{"Key": "extra", "Value": "other"}])
    assert found(mine, ("tag-key", ["extra"])) == {made[0]["VpcId"]}
    ec2.delete_tags(Resources=[made[0]["VpcId"]], Tags=[{"Key": "extra"}])
    assert found(mine, ("tag-key", ["extra"])) == set()
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/16", TagSpecifications=spec("subnet", a="b")) == "InvalidParameterValue"
    reserved = spec("vpc", **{"aws:x": "y"})
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/16", TagSpecifications=reserved) == "InvalidParameterValue"
    assert code(ec2.delete_tags, Resources=[made[0]["VpcId"]], Tags=[{"Key": "aws:x"}]) == "InvalidParameterValue"


def test_pages(ec2, vpc, name):
    for i in range(7):
        ec2.create_security_group(GroupName=f"{name}-{i}", Description="x", VpcId=vpc)
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    first = ec2.describe_security_groups(Filters=mine, MaxResults=5)
    assert len(first["SecurityGroups"]) == 5
    rest = ec2.describe_security_groups(Filters=mine, MaxResults=5, NextToken=first["NextToken"])
    assert len(rest["SecurityGroups"]) == 3 and "NextToken" not in rest
    ids = {g["GroupId"] for g in first["SecurityGroups"] + rest["SecurityGroups"]}
    assert len(ids) == 8
    assert code(ec2.describe_security_groups, MaxResults=5, NextToken=first["NextToken"]) == "InvalidNextToken"
    pages = ec2.get_paginator("describe_security_groups").paginate(Filters=mine, PaginationConfig={"PageSize": 5})
    assert sum(len(page["SecurityGroups"]) for page in pages) == 8


def test_a_dry_run_changes_nothing(ec2, vpc):
    with pytest.raises(ClientError) as caught:
        ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24", DryRun=True)
    assert caught.value.response["Error"]["Code"] == "DryRunOperation"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"] == []
    assert code(ec2.create_subnet, VpcId=vpc, CidrBlock="10.9.0.0/24", DryRun=True) == "InvalidSubnet.Range"
    assert code(ec2.describe_vpcs, DryRun=True) == "DryRunOperation"


def test_ids_are_checked(ec2):
    assert code(ec2.describe_vpcs, VpcIds=["vpc-1"]) == "InvalidVpcId.Malformed"
    assert code(ec2.describe_subnets, SubnetIds=["subnet-00000000000000000"]) == "InvalidSubnetID.NotFound"
    assert code(ec2.create_tags, Resources=["tea-00000000"], Tags=[{"Key": "a", "Value": "b"}]) == "InvalidID"


def test_policies_decide_about_resources_and_tags(cloud, ec2, vpc, name):
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"},
            {
                "Effect": "Allow",
                "Action": "ec2:CreateSubnet",
                "Resource": ["arn:aws:ec2:*:*:subnet/*", f"arn:aws:ec2:*:*:vpc/{vpc}"],
            },
            {
                "Effect": "Allow",
                "Action": "ec2:CreateTags",
                "Resource": "arn:aws:ec2:*:*:subnet/*",
                "Condition": {
                    "StringEquals": {"ec2:CreateAction": "CreateSubnet", "aws:RequestTag/team": "web"}
                },
            },
            {
                "Effect": "Allow",
                "Action": "ec2:DeleteSubnet",
                "Resource": "*",
                "Condition": {"StringEquals": {"ec2:ResourceTag/team": "web"}},
            },
        ],
    }
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    theirs = cloud.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    plain = theirs.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    tagged = theirs.create_subnet(
        VpcId=vpc, CidrBlock="10.1.1.0/24", TagSpecifications=spec("subnet", team="web")
    )["Subnet"]["SubnetId"]
    denied = "UnauthorizedOperation"
    assert code(
        theirs.create_subnet, VpcId=vpc, CidrBlock="10.1.2.0/24", TagSpecifications=spec("subnet", team="db")
    ) == denied
    assert code(theirs.create_vpc, CidrBlock="10.0.0.0/16") == denied
    assert code(theirs.delete_subnet, SubnetId=plain) == denied
    assert code(theirs.create_vpc, CidrBlock="10.0.0.0/16", DryRun=True) == denied
    theirs.delete_subnet(SubnetId=tagged)


def test_regions_zones_and_what_is_left_out(ec2, vpc):
    regions = ec2.describe_regions(Filters=[{"Name": "region-name", "Values": ["eu-*"]}])["Regions"]
    assert {"eu-west-1", "eu-central-1"} <= {r["RegionName"] for r in regions}
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneId"] for z in zones] == ["use1-az1", "use1-az2", "use1-az3"]
    assert code(ec2.create_flow_logs, ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL") == "NotImplemented"
    assert code(ec2.create_vpc, CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True) == "NotImplemented"
    ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=False)


def test_the_command_line(cloud):
    vpc = json.loads(cloud.cli("ec2", "create-vpc", "--cidr-block", "10.8.0.0/16").stdout)["Vpc"]
    subnet = cloud.cli(
        "ec2", "create-subnet", "--vpc-id", vpc["VpcId"], "--cidr-block", "10.8.1.0/24",
        "--tag-specifications", "ResourceType=subnet,Tags=[{Key=Name,Value=cli}]",
        "--query", "Subnet.[State,Tags[0].Value]", "--output", "text",
    ).stdout.split()
    assert subnet == ["available", "cli"]
    failed = cloud.cli("ec2", "delete-vpc", "--vpc-id", vpc["VpcId"], check=False)
    assert f"The vpc '{vpc['VpcId']}' has dependencies and cannot be deleted." in failed.stderr


def test_networks_survive_kill_9():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=spec("vpc", Name="kept"))["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.11.0/24")["Subnet"]["SubnetId"]
        ec2.create_network_interface(SubnetId=subnet)
        cloud.kill()
        cloud.start()
        (shown,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
        assert shown["AvailableIpAddressCount"] == 250
        (shown,) = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["kept"]}])["Vpcs"]
        assert shown["VpcId"] == vpc


def test_managed_prefix_lists(ec2, vpc, name):
    made = ec2.create_managed_prefix_list(
        PrefixListName=name, AddressFamily="IPv4", MaxEntries=2, Entries=[{"Cidr": "10.0.0.0/8", "Description": "all"}]
    )["PrefixList"]
    pl = made["PrefixListId"]
    assert (made["Version"], made["State"]) == (1, "create-complete")
    changed = ec2.modify_managed_prefix_list(
        PrefixListId=pl, CurrentVersion=1, AddEntries=[{"Cidr": "192.0.2.0/24"}], RemoveEntries=[{"Cidr": "10.0.0.0/8"}]
    )["PrefixList"]
    assert changed["Version"] == 2
    entries = lambda **more: [
        e["Cidr"] for e in ec2.get_managed_prefix_list_entries(PrefixListId=pl, **more)["Entries"]
    ]
    assert entries() == ["192.0.2.0/24"] and entries(TargetVersion=1) == ["10.0.0.0/8"]
    again = {"PrefixListId": pl, "CurrentVersion": 1, "AddEntries": [{"Cidr": "10.0.0.0/8"}]}
    assert code(ec2.modify_managed_prefix_list, **again) == "PrefixListVersionMismatch"
    full = {**again, "CurrentVersion": 2, "AddEntries": [{"Cidr": f"10.{i}.0.0/16"} for i in range(2)]}
    assert code(ec2.modify_managed_prefix_list, **full) == "PrefixListMaxEntriesExceeded"

    group = default_group(ec2, vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "PrefixListIds": [{"PrefixListId": pl}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert code(ec2.delete_managed_prefix_list, PrefixListId=pl) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    ec2.delete_managed_prefix_list(PrefixListId=pl)
    assert code(ec2.describe_managed_prefix_lists, PrefixListIds=[pl]) == "InvalidPrefixListID.NotFound"
    lists = ec2.describe_managed_prefix_lists(Filters=[{"Name": "owner-id", "Values": ["AWS"]}])["PrefixLists"]
    assert {one["PrefixListName"].rsplit(".", 1)[1] for one in lists} == {"dynamodb", "s3"}
    assert code(ec2.delete_managed_prefix_list, PrefixListId=lists[0]["PrefixListId"]) == "OperationNotPermitted"
