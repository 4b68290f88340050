"""From where the APIs are reached inside a VPC: by its routes, its groups and its gateway endpoints."""

import os
import subprocess

import pytest
from conftest import BIN, CLEAN, eventually, private_cloud

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")

LOOK = """
import socket
def reached(name):
    try:
        socket.create_connection((name, 443), timeout=1).close()
        return True
    except OSError:
        return False
names = ["s3.us-east-1.amazonaws.com", "a.b.s3.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com",
         "sqs.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"]
print("".join("y" if reached(name) else "n" for name in names))
"""
ALL = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def test_routes_groups_and_endpoints_lead_to_the_apis():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)
        ]
        private, public = subnets
        ec2.modify_subnet_attribute(SubnetId=public, MapPublicIpOnLaunch={"Value": True})
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        tables = {}
        for subnet in subnets:
            tables[subnet] = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            ec2.associate_route_table(RouteTableId=tables[subnet], SubnetId=subnet)
        out = {"DestinationCidrBlock": "0.0.0.0/0"}
        ec2.create_route(RouteTableId=tables[public], GatewayId=gateway, **out)
        (image,) = ec2.describe_images(Owners=["amazon"])["Images"]

        def launch(subnet):
            nano = {"ImageId": image["ImageId"], "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}
            (made,) = ec2.run_instances(SubnetId=subnet, **nano)["Instances"]
            ec2.get_waiter("instance_running").wait(
                InstanceIds=[made["InstanceId"]], WaiterConfig={"Delay": 1}
            )
            return made["InstanceId"]

        def reached(instance):
            """Of S3 (by two names), DynamoDB, SQS, and S3 of another region."""
            done = subprocess.run(
                [BIN, "shell", instance, "--data-dir", cloud.directory],
                input=f"python3 - <<'END'\n{LOOK}\nEND\n",
                capture_output=True, text=True, env=CLEAN, timeout=60,
            )
            return done.stdout.strip()

        def become(instance, wanted):
            eventually(lambda: reached(instance) == wanted, 30)

        one, other = launch(private), launch(public)
        become(other, "yyyyy")
        assert reached(one) == "nnnnn"
        # A gateway endpoint is a way to its service in its region, and to nothing else.
        made = ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[tables[private]]
        )
        become(one, "yynnn")
        # The internet needs a public address, or a NAT gateway that has one.
        ec2.create_route(RouteTableId=tables[private], GatewayId=gateway, **out)
        become(one, "yynnn")
        address = ec2.allocate_address()["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"]
        ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1})
        ec2.replace_route(RouteTableId=tables[private], NatGatewayId=nat, **out)
        become(one, "yyyyy")
        # Groups judge what leaves, by the service's prefix list too.
        (group,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
        ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=ALL)
        become(one, "nnnnn")
        (listed,) = ec2.describe_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
        )["PrefixLists"]
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=listed["PrefixListId"])["Entries"]
        assert [entry["Cidr"] for entry in entries] == listed["Cidrs"] != []
        rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
        by_list = [{**rule, "PrefixListIds": [{"PrefixListId": listed["PrefixListId"]}]}]
        ec2.authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=by_list)
        become(one, "yynnn")
        assert reached(other) == "yynnn"
        ec2.delete_route(RouteTableId=tables[public], **out)
        become(other, "nnnnn")
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpoint"]["VpcEndpointId"]])
        become(one, "nnnnn")
        cloud.gureum("down")
