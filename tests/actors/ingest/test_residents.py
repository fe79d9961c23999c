"""Who is put away when partitions move, and who is not."""

from collections import Counter

from actors.ingest.residents import AT_ONCE, SLACK, TRIES, TRY_AGAIN_S, Residents


class Directory:
    """Knows who is active, and who has something to do and therefore stays."""

    def __init__(self, *names, busy=()):
        self.names = set(names)
        self.busy = set(busy)
        self.asked: Counter[str] = Counter()

    @property
    def active(self):
        return len(self.names)

    def is_active(self, key):
        return key in self.names

    def put_away(self, key):
        if key not in self.names:
            return False
        self.asked[key] += 1
        if key not in self.busy:
            self.names.discard(key)
        return True


def house(directory, **homes):
    residents = Residents(directory)
    residents.owned(set(homes.values()), 0.0)
    for student, partition in homes.items():
        residents.came(student, partition)
    return residents


def test_students_of_a_moved_partition_leave_and_all_others_stay():
    directory = Directory("a", "b", "c", "by_webhook")
    residents = house(directory, a=1, b=2, c=2)
    residents.see_off(0.0)
    assert not directory.asked
    residents.owned({1}, 1.0)
    residents.see_off(1.0)
    assert directory.names == {"a", "by_webhook"}
    assert len(residents) == 1


def test_whoever_came_last_from_a_partition_that_stays_stays():
    directory = Directory("a")
    residents = house(directory, a=1, b=2)
    residents.came("a", 2)
    residents.owned({2}, 1.0)
    residents.see_off(1.0)
    assert directory.names == {"a"}


def test_whoever_is_back_before_being_asked_stays():
    directory = Directory("a")
    residents = house(directory, a=1, b=2)
    residents.owned({2}, 1.0)
    residents.came("a", 2)
    residents.see_off(1.0)
    assert directory.names == {"a"}


def test_who_has_something_to_do_is_asked_again_and_then_left_to_idleness():
    directory = Directory("a", "b", busy={"a", "b"})
    residents = house(directory, a=1, b=1)
    residents.owned(set(), 0.0)
    residents.see_off(0.0)
    residents.see_off(TRY_AGAIN_S / 2)
    assert directory.asked == {"a": 1, "b": 1}
    directory.busy.clear()
    residents.see_off(TRY_AGAIN_S)
    assert not directory.names
    directory.names.add("a")
    directory.busy.add("a")
    for turn in range(2 * TRIES):
        residents.see_off((2 + turn) * TRY_AGAIN_S)
    assert directory.asked["a"] <= TRIES


def test_a_whole_partition_leaves_in_pieces():
    names = [f"s{number}" for number in range(2 * AT_ONCE + 1)]
    directory = Directory(*names)
    residents = house(directory, **dict.fromkeys(names, 1))
    residents.owned(set(), 0.0)
    left = []
    while directory.names:
        residents.see_off(0.0)
        left.append(len(directory.names))
    assert left == [AT_ONCE + 1, 1, 0]


def test_names_of_students_who_are_idle_are_forgotten():
    directory = Directory("s1")
    residents = house(directory, **{f"s{number}": 1 for number in range(SLACK + 2)})
    residents.forget_the_idle()
    assert len(residents) == SLACK + 2
    residents.came("one more", 1)
    residents.forget_the_idle()
    assert len(residents) == 1
