"""One test for each rule by which the X-ray infers what an expression is, and so which table a line writes or reads."""

import pytest

from microworkflows_xray.static import accesses
from tests.xray.snippets import PROJECT, called, code, columns, registry, seen, sources, written

HEAD = "from shop.models import Customer, Invoice, Line, Note, Order, Parcel, Tag, TrackedParcel\n"
UPDATED = {("shop_order", "update")}

SNIPPETS = {
    "a_manager_creates_rows": ("def f():\n    Order.objects.create(status='x')", {("shop_order", "insert")}),
    "a_model_that_is_made_and_saved_is_inserted": ("def f():\n    order = Order()\n    order.save()", {("shop_order", "insert")}),
    "a_row_that_is_fetched_and_saved_is_updated": ("def f():\n    order = Order.objects.get(pk=1)\n    order.save()", UPDATED),
    "a_loop_over_a_queryset_gives_rows": ("def f():\n    for order in Order.objects.all():\n        order.save()", UPDATED),
    "a_comprehension_gives_rows": ("def f():\n    [order.save() for order in Order.objects.all()]", UPDATED),
    "an_item_of_a_queryset_is_a_row": ("def f():\n    Order.objects.all()[0].save()", UPDATED),
    "a_list_of_rows_gives_rows": ("def f():\n    for x in list(Order.objects.all()):\n        x.save()", UPDATED),
    "a_list_that_grows_gives_rows": ("def f():\n    xs = []\n    xs.append(Order.objects.first())\n    xs[0].save()", UPDATED),
    "a_dictionary_gives_its_values": ("def f():\n    d = {1: Order.objects.first()}\n    for k, x in d.items():\n        x.save()", UPDATED),
    "both_branches_count": (
        "def f(a):\n    if a:\n        x = Order.objects.first()\n    else:\n        x = Line.objects.first()\n    x.save()",
        UPDATED | {("shop_line", "update")},
    ),
    "an_instance_check_narrows": ("def f(x):\n    if isinstance(x, Order):\n        x.save()", UPDATED),
    "an_annotation_tells": ("def f(x: Order):\n    x.save()", UPDATED),
    "an_annotation_in_quotes_tells": ("def f(x: 'Order | None'):\n    x.save()", UPDATED),
    "an_annotated_collection_tells": ("def f(xs: list[Order]):\n    for x in xs:\n        x.save()", UPDATED),
    "a_call_tells_what_a_parameter_is": ("def f(x):\n    x.save()\ndef g():\n    f(Order.objects.first())", UPDATED),
    "a_keyword_tells_what_a_parameter_is": ("def f(*, x):\n    x.save()\ndef g():\n    f(x=Order.objects.first())", UPDATED),
    "a_name_tells_if_one_model_is_called_so": ("def f(order):\n    order.save()", UPDATED),
    "a_name_with_a_common_prefix_tells": ("def f(old_order):\n    old_order.save()", UPDATED),
    "a_plural_tells": ("def f(orders):\n    for x in orders:\n        x.save()", UPDATED),
    "a_result_tells": ("def f():\n    return Order.objects.first()\ndef g():\n    f().save()", UPDATED),
    "a_generator_tells": ("def f():\n    yield Order.objects.first()\ndef g():\n    for x in f():\n        x.save()", UPDATED),
    "a_tuple_tells": ("def f():\n    return 1, Order.objects.first()\ndef g():\n    n, x = f()\n    x.save()", UPDATED),
    "get_or_create_gives_a_row": ("def f():\n    x, made = Order.objects.get_or_create(pk=1)\n    x.save()", UPDATED | {("shop_order", "insert")}),
    "an_attribute_keeps_what_it_is_given": (
        "class A:\n    def __init__(self):\n        self.x = Order.objects.first()\n    def f(self):\n        self.x.save()",
        UPDATED,
    ),
    "a_subclass_tells_what_its_base_uses": (
        "class A:\n    model = None\n    def f(self):\n        self.model.objects.create()\nclass B(A):\n    model = Order",
        {("shop_order", "insert")},
    ),
    "a_property_gives_its_result": (
        "class A:\n    @property\n    def x(self):\n        return Order.objects.first()\n    def f(self):\n        self.x.save()",
        UPDATED,
    ),
    "a_nested_function_sees_the_variables_around_it": (
        "def f():\n    x = Order.objects.first()\n    def g():\n        x.save()\n    g()",
        UPDATED,
    ),
    "a_foreign_key_gives_its_target": ("def f(line: Line):\n    line.order.save()", UPDATED),
    "a_reverse_relation_gives_rows": ("def f(order: Order):\n    order.lines.all().delete()", {("shop_line", "delete")}),
    "a_reverse_one_to_one_gives_a_row": ("def f(invoice: Invoice):\n    invoice.order.customer.save()", {("shop_customer", "update")}),
    "a_related_manager_creates": ("def f(order: Order):\n    order.lines.create(quantity=1)", {("shop_line", "insert")}),
    "a_reverse_manager_that_adds_updates": ("def f(customer: Customer, x):\n    customer.orders.add(x)", UPDATED),
    "a_many_to_many_manager_writes_the_table_between": (
        "def f(order: Order, tag):\n    order.tags.set([tag])",
        {("shop_order_tags", "insert"), ("shop_order_tags", "delete")},
    ),
    "a_many_to_many_manager_creates_both": (
        "def f(order: Order):\n    order.tags.create()",
        {("shop_tag", "insert"), ("shop_order_tags", "insert")},
    ),
    "a_filtered_many_to_many_manager_deletes_rows": (
        "def f(order: Order):\n    order.tags.filter(pk=1).delete()",
        {("shop_tag", "delete"), ("shop_order_tags", "delete")},
    ),
    "bulk_create_inserts": ("def f():\n    Line.objects.bulk_create([])", {("shop_line", "insert")}),
    "an_asynchronous_method_counts": ("async def f():\n    await Order.objects.acreate()", {("shop_order", "insert")}),
    "a_child_table_is_written_with_its_parent": (
        "def f():\n    TrackedParcel.objects.create(code='x')",
        {("shop_parcel", "insert"), ("shop_trackedparcel", "insert")},
    ),
    "an_update_writes_only_the_table_of_its_columns": (
        "def f():\n    TrackedParcel.objects.update(code='x')",
        {("shop_trackedparcel", "update")},
    ),
    "a_deletion_takes_cascades_along": (
        "def f(order: Order):\n    order.delete()",
        {("shop_order", "delete"), ("shop_line", "delete"), ("shop_order_tags", "delete"), ("shop_note", "update")},
    ),
    "a_deletion_may_cascade_however_far": (
        "def f(customer: Customer):\n    customer.delete()",
        {
            ("shop_customer", "delete"),
            ("shop_order", "delete"),
            ("shop_order_tags", "delete"),
            ("shop_line", "delete"),
            ("shop_note", "update"),
        },
    ),
    "an_update_of_fields_that_a_model_lacks_is_another_models": (
        "def f(x):\n    x.update(quantity=1)\ndef g():\n    f(Line.objects.all())\n    f(Order.objects.all())",
        {("shop_line", "update")},
    ),
    "a_mixin_writes_what_the_views_have_that_it_is_mixed_into": (
        ("from django.views.generic import DeleteView\nclass M:\n    def f(self):\n        self.get_object().save()\n"
        "class V(M, DeleteView):\n    model = Line\n    def post(self, request):\n        self.f()"),
        {("shop_line", "update")},
    ),
    "an_unknown_objects_attribute_is_known_by_its_name": ("def f(request):\n    request.basket.order.save()", UPDATED),
    "a_loader_gives_a_model": ("from django.apps import apps\nX = apps.get_model('shop', 'Order')\ndef f():\n    X.objects.create()", {("shop_order", "insert")}),
    "a_loader_with_a_label_gives_a_model": ("from django.apps import apps\ndef f():\n    apps.get_model('shop.Order').objects.create()", {("shop_order", "insert")}),
    "a_loader_of_strings_gives_a_class": (
        "from django.utils.module_loading import import_string\ndef f():\n    import_string('shop.models.Order').objects.create()",
        {("shop_order", "insert")},
    ),
    "a_class_loader_looks_below_the_app": ("from somewhere import get_class\nX = get_class('desk.tools', 'Tool')\ndef f():\n    X().use()", set()),
    "a_loader_named_by_the_project_gives_a_class": ("from somewhere import fetch\ndef f():\n    fetch('shop.models', 'Order').objects.create()", {("shop_order", "insert")}),
    "a_raw_statement_is_read": ("def f(cursor):\n    cursor.execute('UPDATE shop_order SET total = 1')", UPDATED),
    "a_statement_with_a_models_table_is_read": (
        "def f(cursor):\n    cursor.execute(f'DELETE FROM {Order._meta.db_table}')",
        {("shop_order", "delete")},
    ),
    "a_shortcut_gives_a_row": ("from django.shortcuts import get_object_or_404\ndef f():\n    get_object_or_404(Order, pk=1).save()", UPDATED),
    "a_local_import_counts": ("def f():\n    from shop.models import Order as O\n    O.objects.create()", {("shop_order", "insert")}),
    "a_with_statement_gives_what_it_enters": (
        "from contextlib import contextmanager\n@contextmanager\ndef held():\n    yield Order.objects.first()\ndef f():\n    with held() as x:\n        x.save()",
        UPDATED,
    ),
    "a_dictionary_gives_what_stands_under_a_key": (
        "def f():\n    d = {'order': Order.objects.first(), 'line': Line.objects.first()}\n    g(d)\ndef g(d):\n    d['order'].save()",
        UPDATED,
    ),
    "a_dictionary_that_is_filled_by_key_gives_it": (
        "def f():\n    d = {}\n    d['x'] = Order.objects.first()\n    d.update(y=1)\n    d.get('x').save()",
        UPDATED,
    ),
    "a_dictionary_passes_its_members_as_keywords": (
        "def f(**kwargs):\n    g(**kwargs)\ndef g(x):\n    x.save()\ndef h():\n    f(**dict(x=Order.objects.first()))",
        UPDATED,
    ),
    "an_object_that_is_iterated_gives_what_its_iterator_does": (
        (
            "class A:\n    def __init__(self):\n        self.xs = {1: Order.objects.first()}\n"
            "    def __iter__(self):\n        return self.xs.values().__iter__()\ndef f():\n    for x in A():\n        x.save()"
        ),
        UPDATED,
    ),
    "what_itertools_chains_are_rows": (
        "from itertools import chain\ndef f(a):\n    for x in sorted(chain(a, Order.objects.all())):\n        x.save()",
        UPDATED,
    ),
    "a_partial_calls_its_function": (
        "from functools import partial\ndef g(x):\n    x.save()\ndef f():\n    partial(g)(Order.objects.first())",
        UPDATED,
    ),
    "a_default_tells": ("def f(model=Order):\n    model.objects.create()", {("shop_order", "insert")}),
    "a_registry_that_a_decorator_fills_gives_its_classes": (
        (
            "KINDS = {}\ndef kind(name):\n    def register(cls):\n        KINDS[name] = cls\n        return cls\n    return register\n"
            "@kind('a')\nclass A:\n    def run(self):\n        Order.objects.create()\n"
            "def f(name):\n    x = KINDS[name]()\n    x.close(Line.objects.first())\n"
            "@kind('b')\nclass B:\n    def close(self, x):\n        x.save()"
        ),
        {("shop_order", "insert"), ("shop_line", "update")},
    ),
    "a_class_that_is_annotated_as_an_object_is_called": (
        "class A:\n    def run(self):\n        Order.objects.create()\ndef f(kind: A):\n    kind().run()",
        {("shop_order", "insert")},
    ),
    "a_class_gets_its_own_model_where_a_base_serves_many": (
        (
            "class Base:\n    model = None\n    def run(self):\n        self.act(self.model.objects.first())\n"
            "    def act(self, target):\n        pass\n"
            "class A(Base):\n    model = Order\n    def act(self, target):\n        target.save()\nclass B(Base):\n    model = Line"
        ),
        UPDATED,
    ),
    "a_method_that_a_sibling_mixin_has_is_found": (
        (
            "class Named:\n    model = None\n    def get_model(self):\n        return self.model\n"
            "class View:\n    def run(self):\n        self.get_model().objects.create()\nclass V(Named, View):\n    model = Order"
        ),
        {("shop_order", "insert")},
    ),
    "a_statement_made_for_any_model_is_read_where_it_runs": (
        (
            "def run(cursor, query):\n    cursor.execute(query)\n"
            "def wipe(cursor, model):\n    table = model._meta.db_table\n    run(cursor, f'DELETE FROM \"{table}\" WHERE 1=1')\n"
            "def f(cursor):\n    wipe(cursor, Order)\n    wipe(cursor, Line)"
        ),
        {("shop_order", "delete"), ("shop_line", "delete")},
    ),
    "an_annotated_result_tells_what_its_code_does_not": (
        "def f() -> Order:\n    raise NotImplementedError\ndef g():\n    f().save()",
        UPDATED,
    ),
    "a_name_tells_which_of_many_models_a_row_is": (
        (
            "def any_of(a):\n    return [Order, Line, Note, Tag, Customer][a].objects.first()\n"
            "def f():\n    order = any_of(1)\n    order.save()"
        ),
        UPDATED,
    ),
    "an_annotation_tells_which_of_the_models_passed_it_is": (
        "def f(x: Order):\n    x.save()\ndef g(a):\n    f([Order, Line][a].objects.first())",
        UPDATED,
    ),
    "a_method_that_one_object_replaces_is_still_that_of_the_others": (
        "def nothing(*args):\n    pass\ndef g(order: Order):\n    order.save = nothing\ndef f(order: Order):\n    order.save()",
        UPDATED,
    ),
    "any_model_is_none_in_particular": ("from django.db.models import Model\ndef f(x: Model):\n    x.save()", set()),
    "getattr_counts": ("def f(line: Line):\n    getattr(line, 'order').save()", UPDATED),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_the_written_tables_of(name: str) -> None:
    text, expected = SNIPPETS[name]

    with code(main=HEAD + text, tools="class Tool:\n    def use(self):\n        pass") as engine:
        assert engine.gaps == []
        assert written(engine) == expected


FRAMEWORKS = {
    "a_form_saves_its_model": (
        (
            "from django import forms\nclass F(forms.ModelForm):\n    class Meta:\n        model = Order\n        fields = ['status']\n"
            "def f(request):\n    form = F(request.POST)\n    form.save()"
        ),
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "a_form_saves_its_links": (
        (
            "from django import forms\nclass F(forms.ModelForm):\n    class Meta:\n        model = Order\n        fields = ['tags']\n"
            "def f(request):\n    F(request.POST).save()"
        ),
        {
            ("shop_order", "insert"),
            ("shop_order", "update"),
            ("shop_order_tags", "insert"),
            ("shop_order_tags", "delete"),
        },
    ),
    "a_form_that_does_not_commit_writes_nothing": (
        (
            "from django import forms\nclass F(forms.ModelForm):\n    class Meta:\n        model = Order\n        fields = ['status']\n"
            "def f(request):\n    F(request.POST).save(commit=False)"
        ),
        set(),
    ),
    "a_forms_instance_is_its_models": (
        (
            "from django import forms\nclass F(forms.ModelForm):\n    class Meta:\n        model = Line\n        fields = []\n"
            "    def clean(self):\n        self.instance.order.save()"
        ),
        UPDATED,
    ),
    "a_field_of_cleaned_data_is_a_row": (
        (
            "from django import forms\nclass F(forms.Form):\n    thing = forms.ModelChoiceField(queryset=Order.objects.all())\n"
            "    def apply(self):\n        self.cleaned_data['thing'].save()"
        ),
        UPDATED,
    ),
    "a_formset_factory_gives_forms_of_its_model": (
        "from django.forms import modelformset_factory\nS = modelformset_factory(Line, fields=[])\ndef f(request):\n    S(request.POST).save()",
        {("shop_line", "insert"), ("shop_line", "update"), ("shop_line", "delete")},
    ),
    "a_create_view_saves_by_itself": (
        "from django.views.generic import CreateView\nclass V(CreateView):\n    model = Order\n    fields = ['status']",
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "a_view_that_passes_on_a_valid_form_saves": (
        (
            "from django.views.generic import UpdateView\nclass V(UpdateView):\n    model = Order\n    fields = ['status']\n"
            "    def form_valid(self, form):\n        return super().form_valid(form)"
        ),
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "a_delete_view_deletes_by_itself": (
        "from django.views.generic import DeleteView\nclass V(DeleteView):\n    model = Tag",
        {("shop_tag", "delete"), ("shop_order_tags", "delete")},
    ),
    "the_object_of_a_view_is_its_models": (
        (
            "from django.views.generic import DetailView\nclass V(DetailView):\n    model = Order\n"
            "    def post(self, request):\n        self.object.save()\n        self.get_object().save()"
        ),
        UPDATED,
    ),
    "a_views_queryset_tells_its_model": (
        (
            "from django.views.generic import DetailView\nclass V(DetailView):\n"
            "    def get_queryset(self):\n        return Order.objects.all()\n    def post(self, request):\n        self.get_object().save()"
        ),
        UPDATED,
    ),
    "a_serializer_saves_its_model": (
        (
            "from rest_framework import serializers\nclass S(serializers.ModelSerializer):\n    class Meta:\n        model = Order\n"
            "def f(data):\n    s = S(data=data)\n    s.save()"
        ),
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "a_serializers_create_is_called_by_save": (
        (
            "from rest_framework import serializers\nclass S(serializers.Serializer):\n"
            "    def create(self, validated_data):\n        return Order.objects.create()\ndef f(data):\n    S(data=data).save().lines.create()"
        ),
        {("shop_order", "insert"), ("shop_line", "insert")},
    ),
    "an_api_view_creates_by_itself": (
        (
            "from rest_framework import serializers, mixins, generics\nclass S(serializers.ModelSerializer):\n    class Meta:\n        model = Order\n"
            "class V(mixins.CreateModelMixin, generics.GenericAPIView):\n    serializer_class = S\n    queryset = Order.objects.all()"
        ),
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "an_api_views_hook_gets_its_serializer": (
        (
            "from rest_framework import serializers, generics\nclass S(serializers.ModelSerializer):\n    class Meta:\n        model = Tag\n"
            "class V(generics.GenericAPIView):\n    serializer_class = S\n    def perform_create(self, serializer):\n        serializer.save()"
        ),
        {("shop_tag", "insert"), ("shop_tag", "update")},
    ),
    "an_admin_hook_saves_its_model": (
        (
            "from django.contrib import admin\n@admin.register(Order)\nclass A(admin.ModelAdmin):\n"
            "    def save_model(self, request, obj, form, change):\n        super().save_model(request, obj, form, change)"
        ),
        {("shop_order", "insert"), ("shop_order", "update")},
    ),
    "a_receiver_gets_its_senders_instance": (
        (
            "from django.db.models.signals import post_save\nfrom django.dispatch import receiver\n@receiver(post_save, sender=Line)\n"
            "def changed(sender, instance, **kwargs):\n    instance.order.save()"
        ),
        UPDATED,
    ),
    "a_receiver_of_the_projects_signal_gets_what_is_sent": (
        (
            "from django.dispatch import Signal, receiver\nplaced = Signal()\n@receiver(placed)\ndef on_placed(sender, thing, **kwargs):\n    thing.save()\n"
            "def f():\n    placed.send(sender=None, thing=Order.objects.first())"
        ),
        UPDATED,
    ),
    "a_task_gets_what_is_sent": (
        "from celery import shared_task\n@shared_task\ndef t(x):\n    x.save()\ndef f(order: Order):\n    t.delay(order)",
        UPDATED,
    ),
}


@pytest.mark.parametrize("name", sorted(FRAMEWORKS))
def test_the_written_tables_where(name: str) -> None:
    text, expected = FRAMEWORKS[name]

    with code(main=HEAD + text) as engine:
        assert engine.gaps == []
        assert written(engine) == expected


def test_a_saved_rows_columns_are_those_that_were_assigned() -> None:
    text = "def f(order: Order):\n    order.status = 'x'\n    order.save()"

    with code(main=HEAD + text) as engine:
        assert columns(engine, "shop_order", "update") == {("status",)}


def test_update_fields_and_update_name_their_columns() -> None:
    text = "def f(order: Order):\n    order.save(update_fields=['total'])\n    Order.objects.update(status='x', customer=None)"

    with code(main=HEAD + text) as engine:
        assert columns(engine, "shop_order", "update") == {("total",), ("customer_id", "status")}


def test_a_lookup_joins_and_names_what_it_reads() -> None:
    text = "def f():\n    Order.objects.filter(lines__quantity__gt=1, customer__name='x').count()"

    with code(main=HEAD + text) as engine:
        found = {
            (a.table, a.columns)
            for each in engine.found.values()
            for a in each.accesses
            if a.place.app == "desk"
        }
        assert found == {
            ("shop_order", ("customer_id",)),
            ("shop_line", ("quantity",)),
            ("shop_customer", ("name",)),
        }


def test_select_related_reads_whole_rows() -> None:
    text = "def f():\n    return Line.objects.select_related('order__customer').get(pk=1)"

    with code(main=HEAD + text) as engine:
        assert seen(engine) == {("shop_line", "read"), ("shop_order", "read"), ("shop_customer", "read")}
        assert columns(engine, "shop_customer", "read") == {None}


def test_a_chain_of_queryset_methods_is_one_query() -> None:
    text = "def f():\n    Order.objects.filter(pk=1).update(total=2)"

    with code(main=HEAD + text) as engine:
        assert seen(engine) == UPDATED


def test_a_method_of_a_custom_queryset_writes_in_its_own_app() -> None:
    text = "def f():\n    Order.objects.open().close()"

    with code(main=HEAD + text) as engine:
        assert written(engine) == set()
        assert ("shop_order", "update") in written(engine, app="shop")
        assert ("work.desk.main.f", "shop.models.OrderQuerySet.close", "call") in called(engine)


def test_an_overridden_save_writes_in_place_of_its_caller() -> None:
    text = "def f(invoice: Invoice):\n    invoice.save()\n    Invoice.objects.create()"

    with code(main=HEAD + text) as engine:
        assert written(engine) == set()
        assert {("shop_invoice", "insert"), ("shop_invoice", "update")} <= written(engine, app="shop")
        assert ("work.desk.main.f", "shop.models.Invoice.save", "call") in called(engine)


def test_a_method_of_an_abstract_model_writes_the_tables_of_its_heirs() -> None:
    with code(main="") as engine:
        assert ("shop_order", "update") in written(engine, app="shop")


def test_a_hook_is_called_where_the_template_method_calls_it() -> None:
    text = "class A:\n    def run(self):\n        self.hook()\n    def hook(self):\n        pass\nclass B(A):\n    def hook(self):\n        pass"

    with code(main=text) as engine:
        assert ("work.desk.main.A.run", "work.desk.main.B.hook", "template method") in called(engine)


def test_a_mixin_that_is_no_model_writes_the_tables_of_its_models() -> None:
    with code(main="") as engine:
        assert {("shop_sample", "insert"), ("shop_sample", "update")} <= written(engine, app="shop")


def test_a_model_that_keeps_its_history_writes_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with registry() as known:
        order, note = known.models["shop.models.Order"], known.models["shop.models.Note"]
        monkeypatch.setattr(order._meta, "simple_history_manager_attribute", "history", raising=False)
        monkeypatch.setattr(order, "history", note._default_manager, raising=False)
        engine = accesses.read(PROJECT, sources(main=HEAD + "def f(order: Order):\n    order.save()"), known)

    assert written(engine) == {("shop_order", "update"), ("shop_note", "insert")}


def test_a_cascade_that_needs_rows_says_so() -> None:
    with code(main=HEAD + "def f(customer: Customer):\n    customer.delete()") as engine:
        found = {(each.table, each.how) for each in engine.found["work.desk.main.f"].accesses}
        assert ("shop_line", "possible cascade") in found


def test_a_mixin_that_comes_before_a_class_overrides_it() -> None:
    text = (
        "class Action:\n    def run(self):\n        raise NotImplementedError\n"
        "class Confirmed:\n    def run(self):\n        pass\nclass Deletes(Confirmed, Action):\n    pass\n"
        "def f(action: Action):\n    action.run()"
    )

    with code(main=text) as engine:
        assert ("work.desk.main.f", "work.desk.main.Confirmed.run", "template method") in called(engine)


DISPATCHES = {
    "the_actions_that_a_class_names": (
        "    actions = ('accept', 'refuse')\n    def run(self, name):\n        if name in self.actions:\n            getattr(self, name)()",
        {"accept", "refuse"},
    ),
    "names_that_begin_alike": ("    def run(self, name):\n        getattr(self, f'accept{name}', None)()", {"accept", "accept_all"}),
    "names_that_are_put_together": ("    def run(self, name):\n        getattr(self, 'accept_' + name)()", {"accept_all"}),
    "what_a_subclass_has": ("    def run(self, name):\n        getattr(self, 'late_%s' % name)()\nclass B(A):\n    def late_close(self):\n        pass", {"late_close"}),
    "one_of_two_names": ("    def run(self, a):\n        getattr(self, 'accept' if a else 'refuse')()", {"accept", "refuse"}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DISPATCHES))
def test_getattr_may_mean(name: str) -> None:
    text, expected = DISPATCHES[name]
    methods = "".join(
        f"    def {each}(self):\n        pass\n" for each in ("accept", "accept_all", "refuse", "forget")
    )

    with code(main=f"class A:\n{methods}{text}") as engine:
        run = {callee for caller, callee, _ in called(engine) if caller.endswith(".run")}
        assert {callee.rpartition(".")[2] for callee in run} == expected


def test_a_decorators_wrapper_calls_what_it_is_applied_to() -> None:
    text = """
def safe(function):
    def wrapper(*args):
        return function(*args)
    return wrapper

def named(name):
    def apply(function):
        def wrapper():
            return function()
        return wrapper
    return apply

@safe
def f():
    pass

class A:
    @named("x")
    def g(self):
        pass
"""

    with code(main=text) as engine:
        assert {call for call in called(engine) if call[2] == "callback"} == {
            ("work.desk.main.safe.wrapper", "work.desk.main.f", "callback"),
            ("work.desk.main.named.apply.wrapper", "work.desk.main.A.g", "callback"),
        }


def test_a_function_that_is_passed_to_one_that_calls_it_is_called_where_it_is_passed() -> None:
    text = """
class Hook:
    def __call__(self, action, *args):
        return action(*args)

hook = Hook()

def keep(kept):
    return [kept]

def f():
    hook(g, 1)
    keep(1)

def g(x):
    pass
"""

    with code(main=text) as engine:
        assert ("work.desk.main.f", "work.desk.main.g", "call") in called(engine)


def test_a_mixin_that_passes_on_a_request_reaches_the_handlers_of_its_views() -> None:
    text = """
from django.views.generic import View

class Checked:
    def dispatch(self, request):
        return super().dispatch(request)

class V(Checked, View):
    def post(self, request):
        pass
"""

    with code(main=text) as engine:
        assert ("work.desk.main.Checked.dispatch", "work.desk.main.V.post", "callback") in called(engine)


def test_a_task_that_is_sent_on_commit_is_a_task() -> None:
    text = """
from functools import partial
from celery import shared_task
from django.db import transaction

@shared_task
def later(x):
    pass

def f():
    transaction.on_commit(partial(later.delay, 1))
"""

    with code(main=text) as engine:
        assert ("work.desk.main.f", "work.desk.main.later", "task") in called(engine)


def test_signals_tasks_and_callbacks_are_calls_of_their_kind() -> None:
    text = """
from celery import shared_task
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

@receiver(post_save, sender=Order)
def saved(sender, instance, **kwargs):
    pass

@shared_task
def later():
    pass

def committed():
    pass

def f(order: Order):
    order.save()
    later.delay()
    transaction.on_commit(committed)
    transaction.on_commit(lambda: later())
"""

    with code(main=HEAD + text) as engine:
        assert {
            ("work.desk.main.f", "work.desk.main.saved", "signal"),
            ("work.desk.main.f", "work.desk.main.later", "task"),
            ("work.desk.main.f", "work.desk.main.committed", "on_commit"),
            ("work.desk.main.f", "work.desk.main.later", "on_commit"),
        } <= called(engine)


def test_a_class_loader_finds_what_its_label_means() -> None:
    text = (
        "from somewhere import get_class\nTool = get_class('desk.tools', 'Tool')\ndef f():\n    Tool().use()"
    )

    with code(main=text, tools="class Tool:\n    def use(self):\n        pass") as engine:
        assert ("work.desk.main.f", "work.desk.tools.Tool.use", "call") in called(engine)


def test_code_that_the_inference_cannot_follow_is_a_gap_and_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from microworkflows_xray.static import statements

    def fail(*args: object) -> None:
        raise ValueError("odd")

    monkeypatch.setitem(statements._HANDLERS, __import__("ast").While, fail)
    text = "def f(order: Order):\n    while True:\n        pass\ndef g(order: Order):\n    order.save()"

    with code(main=HEAD + text) as engine:
        assert [gap.what for gap in engine.gaps] == ["Reads and writes in work.desk.main.f may be missing."]
        assert written(engine) == UPDATED
