"""Each field of the launch policy, seen from inside a container: drop the field, and its test fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import MIB, Bench

from czrun.engines.base import ImageInfo
from czrun.engines.policy import DEDICATED_USER, PIDS_LIMIT, contract_environment, current_user, sandbox_user
from czrun.contract.job import Verb
