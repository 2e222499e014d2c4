"""Tiny CAN logs of a drive that brakes, with their database and mapping, written by python-can and cantools."""

from pathlib import Path

import can
import cantools

from tests.ingest.make_csv import speed_at

T0_S = 1_700_000_000.0
SECONDS, RATE_HZ = 10, 50
DBC = """VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 MOTION: 8 ECU
 SG_ SPEED : 0|16@1+ (0.01,0) [0|300] "km/h" ECU
 SG_ GEAR : 16|4@1+ (1,0) [0|8] "" ECU
BO_ 2566844672 STEERING: 4 ECU
 SG_ ANGLE : 7|16@0- (0.1,0) [-780|780] "deg" ECU
VAL_ 256 GEAR 1 "one" 2 "two" ;
"""
NAMES = {"candump": "drive.log", "asc": "drive.asc", "blf": "drive.blf"}
MAPPING = """
kind = "can"
vehicle_id = "van-7"
place = "depot"
[signals]
speed_mps = {message = "MOTION", signal = "SPEED", unit = "km/h"}
steering_rad = {message = "STEERING", signal = "ANGLE", unit = "deg"}
"""


def messages(*, start_s: float = T0_S, seconds: float = SECONDS) -> list[can.Message]:
    """MOTION at 50 Hz, STEERING (extended) at 25 Hz 5 ms later, and an unknown identifier, in the order of time."""
    database = cantools.database.can.Database()
    database.add_dbc_string(DBC)
    found = []
    for k in range(int(seconds * RATE_HZ)):
        t_s = k / RATE_HZ
        motion = database.encode_message("MOTION", {"SPEED": round(3.6 * speed_at(t_s), 2), "GEAR": 1})
        found.append(can.Message(timestamp=start_s + t_s, arbitration_id=256, is_extended_id=False, data=motion, channel=0))
        if k % 2 == 0:
            data = database.encode_message("STEERING", {"ANGLE": -3.0})
            found.append(can.Message(timestamp=start_s + t_s + 0.005, arbitration_id=0x18FEF100, data=data, channel=0))
            found.append(can.Message(timestamp=start_s + t_s + 0.006, arbitration_id=0x7FF, is_extended_id=False, data=b"\x01", channel=1))
    return found


def make_can(folder: Path, *, kind: str = "candump", start_s: float = T0_S, seconds: float = SECONDS, sidecars: bool = True) -> Path:
    """Writes drive.log (candump), drive.asc or drive.blf with car.dbc and mapping.toml; gives back the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"candump": can.CanutilsLogWriter, "asc": can.ASCWriter, "blf": can.BLFWriter}
    with writers[kind](str(folder / NAMES[kind])) as sink:
        for message in messages(start_s=start_s, seconds=seconds):
            sink.on_message_received(message)
    if sidecars:
        (folder / "car.dbc").write_text(DBC)
        (folder / "mapping.toml").write_text(MAPPING)
    return folder
