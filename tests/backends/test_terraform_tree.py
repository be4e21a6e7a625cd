"""What a tree may contain before Terraform sees it."""

import json
from pathlib import Path

import pytest

from activities.backends.terraform_tree import TreeRules, refusals

STATE = 'terraform {\n  backend "s3" {\n    bucket = "state"\n  }\n}\n'
RULES = TreeRules(providers=("hashicorp/aws",), state_backend="s3")


def found(tmp_path: Path, files: dict[str, str], rules: TreeRules = RULES) -> list[str]:
    for name, text in {"infra/state.tf": STATE, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return refusals(tmp_path, "infra", rules)


def in_main(tmp_path: Path, text: str) -> list[str]:
    return found(tmp_path, {"infra/main.tf": text})


def test_resources_of_allowed_providers_and_modules_of_the_tree_may_be_applied(tmp_path: Path) -> None:
    main = """\
# A comment, and /* another kind */ of it.
terraform {
  required_providers {
    aws = { source = "registry.terraform.io/hashicorp/aws", version = "~> 6.0" }
  }
}
provider "aws" { region = "eu-west-1" }
locals {
  tags = { "provisioner" = "terraform", provisioner = 1, note = <<-EOT
    a text with a } and a local-exec in it
  EOT
  }
}
resource "aws_s3_bucket" "a" { tags = local.tags }
resource "terraform_data" "b" { input = var.provisioner_name }
module "net" { source = "../modules/net" }
"""
    module = 'resource "aws_vpc" "a" {}\nmodule "inner" {\n  source = "./inner"\n}\n'
    files = {
        "infra/main.tf": main,
        "modules/net/main.tf": module,
        "modules/net/inner/main.tf": 'variable "x" {}\n',
        "infra/.terraform.lock.hcl": 'provider "registry.terraform.io/hashicorp/aws" {\n  version = "6"\n}\n',
    }
    assert found(tmp_path, files) == []


@pytest.mark.parametrize(
    "block",
    [
        'provisioner "local-exec" {\n    command = "curl evil"\n  }',
        "provisioner local-exec {\n    command = 1\n  }",
        'provisioner /* "x" */ "remote-exec" {\n  }',
        'provisioner\t"file" {\n  }',
        'provisioner "local\\u002dexec" {\n  }',
        'lifecycle {}\n  provisioner "local-exec" { command = "x" }',
    ],
)
@pytest.mark.parametrize("around", ['resource "terraform_data" "x"', "removed"])
def test_a_provisioner_is_refused_however_it_is_written(tmp_path: Path, block: str, around: str) -> None:
    refused = in_main(tmp_path, f"{around} {{\n  {block}\n}}\n")
    assert any("infra/main.tf:" in each and "has a provisioner" in each for each in refused)


def test_a_provisioner_is_refused_even_in_a_file_that_our_parser_can_not_read(tmp_path: Path) -> None:
    refused = in_main(tmp_path, 'resource "a" "b" {\n  provisioner "local-exec" {\n')
    assert any("has a provisioner" in each for each in refused)
    assert any("can't be parsed" in each for each in refused)


@pytest.mark.parametrize(
    "document",
    [
        {"resource": {"terraform_data": {"x": {"provisioner": {"local-exec": {"command": "x"}}}}}},
        {"resource": [{"terraform_data": [{"x": [{"provisioner": []}]}]}]},
        {"removed": [{"from": "a.b", "provisioner": {"local-exec": {}}}]},
    ],
)
def test_a_provisioner_in_json_is_refused_with_any_spelling_of_its_name(
    tmp_path: Path, document: dict[str, object]
) -> None:
    text = json.dumps(document).replace("provisioner", "provis\\u0069oner")
    assert any("has a provisioner" in each for each in found(tmp_path, {"infra/main.tf.json": text}))


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ('data "external" "x" {\n  program = ["sh"]\n}', "hashicorp/external"),
        ('data "ext\\u0065rnal" "x" {\n}', "hashicorp/external"),
        ('check "x" {\n  data "external" "y" {\n  }\n}', "hashicorp/external"),
        ('ephemeral "vault_secret" "x" {\n}', "hashicorp/vault"),
        ('resource "null_resource" "x" {\n}', "hashicorp/null"),
        ('provider "local" {\n}', "hashicorp/local"),
        ('resource "aws_vpc" "x" {\n  provider = evil.west\n}', "hashicorp/evil"),
        ('terraform {\n  required_providers {\n    aws = { source = "mallory/aws" }\n  }\n}', "mallory/aws"),
        ('terraform {\n  required_providers {\n    evil = "1.0"\n  }\n}', "hashicorp/evil"),
        (
            'terraform {\n  required_providers {\n    aws = {\n      source = "evil.example/hashicorp/aws"\n'
            "    }\n  }\n}",
            "evil.example/hashicorp/aws",
        ),
    ],
)
def test_a_provider_that_is_not_allowed_is_refused_by_its_address(
    tmp_path: Path, text: str, provider: str
) -> None:
    (refused,) = in_main(tmp_path, text + "\n")
    assert refused == f"infra uses the provider {provider}, which terraform.providers does not allow"


def test_a_provider_that_only_the_lock_file_names_is_refused(tmp_path: Path) -> None:
    lock = 'provider "registry.terraform.io/mallory/x" {\n  version = "1"\n}\n'
    (refused,) = found(tmp_path, {"infra/.terraform.lock.hcl": lock})
    assert "mallory/x" in refused


@pytest.mark.parametrize(
    "source",
    [
        "git::https://evil.example/x.git",
        "terraform-aws-modules/vpc/aws",
        "/etc",
        "${var.where}",
        "https://evil.example/x.zip",
        "git::ssh://-oProxyCommand=x/y",
        "",
    ],
)
def test_a_module_from_outside_the_tree_is_refused(tmp_path: Path, source: str) -> None:
    (refused,) = in_main(tmp_path, f'module "x" {{\n  source = "{source}"\n}}\n')
    assert "terraform.modules does not allow" in refused


@pytest.mark.parametrize("source", ["../../../etc", "./nowhere", "../infra/../../.."])
def test_a_module_beyond_or_not_in_the_tree_is_refused(tmp_path: Path, source: str) -> None:
    (refused,) = in_main(tmp_path, f'module "x" {{\n  source = "{source}"\n}}\n')
    assert "no directory of the tree" in refused


def test_a_link_does_not_lead_out_of_the_tree(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    outside.mkdir()
    (outside / "main.tf").write_text("locals {}\n")
    (tree / "infra").mkdir(parents=True)
    (tree / "infra" / "out").symlink_to(outside)
    (tree / "infra" / "main.tf").symlink_to(outside / "main.tf")
    refused = found(tree, {"infra/more.tf": 'module "x" {\n  source = "./out"\n}\n'})
    assert [each.partition(" ")[0] for each in refused] == ["infra/main.tf", "infra/more.tf"]


def test_a_module_that_is_allowed_by_name_may_be_used_exactly_so(tmp_path: Path) -> None:
    rules = TreeRules(modules=("acme/net/aws",), state_backend="s3")
    main = 'module "x" {\n  source = "acme/net/aws"\n}\n'
    assert found(tmp_path, {"infra/main.tf": main}, rules) == []
    assert found(tmp_path, {"infra/main.tf": main.replace("net/aws", "net/aws//sub")}, rules) != []


def test_modules_of_modules_are_looked_into(tmp_path: Path) -> None:
    files = {
        "infra/main.tf": 'module "a" {\n  source = "../a"\n}\n',
        "a/main.tf": 'module "b" {\n  source = "./b"\n}\nmodule "self" {\n  source = "../a"\n}\n',
        "a/b/main.tofu": 'data "external" "x" {\n}\n',
    }
    (refused,) = found(tmp_path, files)
    assert refused.startswith("a/b uses the provider hashicorp/external")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("locals {}\n", "declares no state backend"),
        ('terraform {\n  backend "http" {\n  }\n}\n', "keeps its state in 'http'"),
        (STATE + 'terraform {\n  backend "http" {\n  }\n}\n', "keeps its state in 'http'"),
        ('terraform {\n  cloud {\n    organization = "x"\n  }\n}\n', 'set terraform.backend = "cloud"'),
    ],
)
def test_the_state_is_kept_where_the_settings_say(tmp_path: Path, state: str, said: str) -> None:
    (refused,) = found(tmp_path, {"infra/state.tf": state})
    assert said in refused


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("main.tf", b"locals {\n", "can't be parsed"),
        ("main.tf", b"\xff\xfe", "not UTF-8"),
        ("main.tf", b"# " + b"x" * 1_000_000, "longer than"),
        ("main.tf.json", b'{"locals": {}, "locals": {}}', "a key twice"),
        ("main.tf.json", b"[1]", "not a JSON object"),
        ("main.tf.json", b"[" * 100_000, "not JSON"),
        ("main.tf", b"locals {\n  a = " + b"[" * 5000 + b"]" * 5000 + b"\n}\n", "can't be parsed"),
    ],
)
def test_what_nobody_can_read_is_not_run(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    assert found(tmp_path, {}) == []
    (tmp_path / "infra" / name).write_bytes(content)
    assert any(said in each for each in refusals(tmp_path, "infra", RULES))


def test_a_directory_without_terraform_or_none_at_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert "holds no Terraform file" in refusals(tmp_path, "docs", RULES)[0]
    assert refusals(tmp_path, "nowhere", RULES) == ["there is no directory nowhere in the tree"]
    assert refusals(tmp_path, "a/../..", RULES) == ["there is no directory a/../.. in the tree"]


def test_names_from_a_tree_do_not_steer_a_terminal(tmp_path: Path) -> None:
    refused = found(tmp_path, {"infra/\x1b[2Jx.tf": 'data "\x1b[31mevil" "x" {\n}\nlocals {\n'})
    assert refused
    assert all("\x1b" not in each for each in refused)
