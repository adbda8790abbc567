"""What a user of the generated client does: every module of it is imported, and an expense is added,
listed, changed and deleted. A refusal comes as a value with its problems.

BASE_URL and ACCESS_TOKEN come from the environment."""

import datetime
import importlib
import os
import pkgutil

import expenses_api_client
from expenses_api_client import AuthenticatedClient
from expenses_api_client.api.expenses import (
    create_expense,
    delete_expense,
    list_expenses,
    patch_expense,
    show_expense,
    summarize_expenses,
)
from expenses_api_client.models import (
    Expense,
    ExpensePatch,
    ExpenseRequest,
    Summary,
    ValidationErrorResponse,
)


def import_every_module() -> int:
    """Imports what the generator has made, and tells how many modules that is."""
    modules = list(pkgutil.walk_packages(expenses_api_client.__path__, "expenses_api_client."))
    for module in modules:
        importlib.import_module(module.name)
    return len(modules)


def problems(answer: object) -> list[tuple[str, list[str | int]]]:
    assert isinstance(answer, ValidationErrorResponse), answer
    return [(problem.type_, problem.loc) for problem in answer.detail]


def main() -> None:
    count = import_every_module()
    client = AuthenticatedClient(
        base_url=os.environ["BASE_URL"],
        token=os.environ["ACCESS_TOKEN"],
        raise_on_unexpected_status=True,
    )
    with client:
        assert list_expenses.sync(client=client) == []

        day = datetime.date(2026, 11, 23)
        lunch = ExpenseRequest(description="Team lunch", amount="42.50", category="meals", date=day)
        made = create_expense.sync_detailed(client=client, body=lunch, idempotency_key="a key")
        assert made.status_code == 201, made
        expense = made.parsed
        assert isinstance(expense, Expense), expense
        assert made.headers["location"] == f"/expenses/{expense.id}"
        assert (expense.amount, expense.currency, expense.date) == (42.5, "USD", day), expense
        again = create_expense.sync(client=client, body=lunch, idempotency_key="a key")
        assert again == expense, again
        assert list_expenses.sync(client=client, from_=day, to=day) == [expense]

        change = ExpensePatch(amount=45, category=None)
        changed = patch_expense.sync(expense.id, client=client, body=change)
        assert isinstance(changed, Expense), changed
        assert (changed.amount, changed.category, changed.description) == (45, "other", "Team lunch")
        assert show_expense.sync(expense.id, client=client) == changed
        summary = summarize_expenses.sync(client=client)
        assert isinstance(summary, Summary), summary
        assert [(sums.currency, sums.total, sums.count) for sums in summary.currencies] == [("USD", 45, 1)]

        wrong = create_expense.sync_detailed(client=client, body=ExpenseRequest(description="", amount=0))
        assert wrong.status_code == 422, wrong
        assert problems(wrong.parsed) == [
            ("string_too_short", ["body", "description"]),
            ("greater_than", ["body", "amount"]),
        ], wrong
        lunch.amount = 1
        reused = create_expense.sync(client=client, body=lunch, idempotency_key="a key")
        assert problems(reused) == [("value_error", ["header", "idempotency-key"])], reused
        backwards = list_expenses.sync(client=client, from_=day, to=day - datetime.timedelta(days=1))
        assert problems(backwards) == [("value_error", ["query", "to"])], backwards

        gone = delete_expense.sync_detailed(expense.id, client=client)
        assert gone.status_code == 204, gone
        assert delete_expense.sync_detailed(expense.id, client=client).status_code == 404
        assert list_expenses.sync(client=client) == []
    print(f"{count} modules, and the story is told")


main()
