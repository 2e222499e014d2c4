"""Definitions of vehicle message types that the standard ROS type stores lack, for bags that hold no definitions (ROS 2 before Iron).

Field orders as the packages publish them (autoware_msgs, autoware_auto_msgs, vision_msgs 4, ackermann_msgs, derived_object_msgs);
a bounded sequence has the same bytes as an unbounded one.
"""

from collections.abc import Mapping

_LINE = "\n" + "=" * 80 + "\nMSG: "


def _joined(top: str, parts: Mapping[str, str]) -> str:
    """The definition text of a type with those it needs, as ROS tools write it."""
    return top + "\n" + "".join(f"{_LINE}{name}\n{text}\n" for name, text in parts.items())


def _autoware_objects(package: str, kind: str) -> str:
    """Tracked or Predicted objects; the older package says of a tracked object how sure its heading is before its twist."""
    sure = "uint8 orientation_availability"
    pose, *motion = (
        f"geometry_msgs/{name}WithCovariance {'initial_' if kind == 'Predicted' else ''}{field}_with_covariance"
        for name, field in (("Pose", "pose"), ("Twist", "twist"), ("Accel", "acceleration"))
    )
    kinematics = [pose, sure, *motion] if package == "autoware_auto_perception_msgs" else [pose, *motion, sure]
    paths = {f"{package}/PredictedPath": "geometry_msgs/Pose[] path\nbuiltin_interfaces/Duration time_step\nfloat32 confidence"}
    return _joined(
        f"std_msgs/Header header\n{package}/{kind}Object[] objects",
        {
            f"{package}/{kind}Object": "unique_identifier_msgs/UUID object_id\nfloat32 existence_probability\n"
            f"{package}/ObjectClassification[] classification\n{package}/{kind}ObjectKinematics kinematics\n{package}/Shape shape",
            f"{package}/{kind}ObjectKinematics": "\n".join([*kinematics, "bool is_stationary"])
            if kind == "Tracked"
            else "\n".join([pose, *motion, f"{package}/PredictedPath[] predicted_paths"]),
            f"{package}/ObjectClassification": "uint8 label\nfloat32 probability",
            f"{package}/Shape": "uint8 type\ngeometry_msgs/Polygon footprint\ngeometry_msgs/Vector3 dimensions",
            **(paths if kind == "Predicted" else {}),
        },
    )


_STEERING = "builtin_interfaces/Time stamp\nfloat32 steering_tire_angle"
_VELOCITY = "std_msgs/Header header\nfloat32 longitudinal_velocity\nfloat32 lateral_velocity\nfloat32 heading_rate"
_ACKERMANN = "float32 steering_angle\nfloat32 steering_angle_velocity\nfloat32 speed\nfloat32 acceleration\nfloat32 jerk"

DEFINITIONS: dict[str, str] = {
    **{
        f"{package}/msg/{kind}Objects": _autoware_objects(package, kind)
        for package in ("autoware_auto_perception_msgs", "autoware_perception_msgs")
        for kind in ("Tracked", "Predicted")
    },
    "autoware_auto_vehicle_msgs/msg/SteeringReport": _STEERING,
    "autoware_vehicle_msgs/msg/SteeringReport": _STEERING,
    "autoware_auto_vehicle_msgs/msg/VelocityReport": _VELOCITY,
    "autoware_vehicle_msgs/msg/VelocityReport": _VELOCITY,
    "ackermann_msgs/msg/AckermannDriveStamped": _joined(
        "std_msgs/Header header\nackermann_msgs/AckermannDrive drive", {"ackermann_msgs/AckermannDrive": _ACKERMANN}
    ),
    "vision_msgs/msg/Detection3DArray": _joined(
        "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
        {
            "vision_msgs/Detection3D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
            "vision_msgs/BoundingBox3D bbox\nstring id",
            "vision_msgs/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
            "vision_msgs/ObjectHypothesis": "string class_id\nfloat64 score",
            "vision_msgs/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
        },
    ),
    "derived_object_msgs/msg/ObjectArray": _joined(
        "std_msgs/Header header\nderived_object_msgs/Object[] objects",
        {
            "derived_object_msgs/Object": "std_msgs/Header header\nuint32 id\nuint8 detection_level\nbool object_classified\n"
            "geometry_msgs/Pose pose\ngeometry_msgs/Twist twist\ngeometry_msgs/Accel accel\ngeometry_msgs/Polygon polygon\n"
            "shape_msgs/SolidPrimitive shape\nuint8 classification\nuint8 classification_certainty\nuint32 classification_age",
        },
    ),
}
