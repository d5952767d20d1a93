"""A day in the shop, by django-oscar's own commands, importer, order creator and factories."""

import datetime as dt
import os
from decimal import Decimal

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from oscar.core.loading import get_class, get_model
from oscar.test import factories

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
Country = get_model("address", "Country")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
ProductReview = get_model("reviews", "ProductReview")
StockRecord = get_model("partner", "StockRecord")
Voucher = get_model("voucher", "Voucher")
EventHandler = get_class("order.processing", "EventHandler")
Default = get_class("partner.strategy", "Default")

BOOKS = 40


def load():
    call_command("oscar_populate_countries", verbosity=0)
    catalogue()
    people = [User.objects.create_user(f"reader{n}", f"reader{n}@example.com", "secret") for n in range(8)]
    for number, person in enumerate(people):
        person.first_name, person.is_staff = f"Ähne {number}", number == 0
        person.save()
    products = list(Product.objects.order_by("id"))
    offers(products)
    orders(people, products)
    reviews(people, products)
    wishes(people, products)
    call_command("oscar_calculate_scores", verbosity=0)
    call_command("oscar_update_product_ratings", verbosity=0)
    sold_out(people, products)


def catalogue():
    """Twice the same file, the second time with other prices."""
    file = os.path.join(os.environ["MEDIA_ROOT"], "books.csv")
    for price in ("9.99", "11.50"):
        with open(file, "w", encoding="utf-8") as lines:
            for n in range(BOOKS):
                shelf = ("Books > Fiction", "Books > Fiction > Straße", "Books > Non-Fiction > Essential programming")[n % 3]
                title = f'Band {n} \\"é\\" \\\\ \U0001f600'
                text = "Ein langer Text. " * (1 if n % 5 else 700)
                lines.write(f'"Book","{shelf}","978{n:010}","{title}","{text}","Gardners","sku-{n}","{price}","{n}"\n')
        call_command("oscar_import_catalogue", file, verbosity=0)
    # The tree moves by statements that change many rows.
    fiction = Category.objects.get(name="Fiction")
    fiction.move(Category.objects.get(name="Non-Fiction"), "last-child")
    attribute = factories.ProductAttributeFactory(name="weight", code="weight", type="float")
    for product in Product.objects.order_by("id")[:6]:
        factories.ProductAttributeValueFactory(product=product, attribute=attribute, value_float=0.1 * product.id)
    for product in Product.objects.order_by("id")[:4]:
        factories.create_product_image(product=product)


def offers(products):
    factories.create_offer(name="Zwanzig Prozent")
    shelf = factories.RangeFactory(name="Einige", products=products[:10])
    shelf.remove_product(products[3])
    voucher = factories.create_voucher(name="Sommer", code="SOMMER")
    voucher.num_basket_additions = 3
    voucher.save()


def orders(people, products):
    address = factories.ShippingAddressFactory(country=Country.objects.get(pk="DE"))
    for n, person in enumerate(people):
        basket = Basket.objects.create(owner=person)
        basket.strategy = Default()
        for product in products[n : n + 3]:
            product.stockrecords.update(num_in_stock=50)
            basket.add_product(product, quantity=n + 1)
        basket.vouchers.add(Voucher.objects.first())
        factories.UserAddressFactory(user=person, country=Country.objects.get(pk="DE"))
        order = factories.create_order(number=f"1000{n}", basket=basket, user=person, shipping_address=address)
        with transaction.atomic():
            order.set_status("Being processed" if n % 2 else "Cancelled")
            for line in order.lines.all():
                line.set_status("Pending")
                line.stockrecord.consume_allocation(1)
                if n % 2 == 0:
                    line.delete()
            order.notes.create(user=person, note_type="Info", message="Bitte klingeln")
    try:
        with transaction.atomic():
            Order.objects.all().delete()
            raise InterruptedError
    except InterruptedError:
        pass


def reviews(people, products):
    for n, person in enumerate(people):
        review = ProductReview.objects.create(
            product=products[n % 3], user=person, score=n % 6, title=f"Nr. {n}", body="gut\nund 'günstig'", status=1
        )
        vote = review.vote_up(people[(n + 1) % len(people)])
        if n % 3 == 0 and vote:
            vote.delete()
    ProductReview.objects.filter(score=0).update(status=2)


def wishes(people, products):
    for n, person in enumerate(people[:4]):
        wishlist = person.wishlists.create(name=f"Liste {n}")
        for product in products[n : n + 4]:
            wishlist.add(product)
            wishlist.add(product)
        person.wishlists.filter(name="Liste 2").delete()


def sold_out(people, products):
    """Deletions that take other rows along, and statements over many rows."""
    StockRecord.objects.filter(num_in_stock__lt=10).update(low_stock_threshold=5, price=Decimal("1.00"))
    products[-1].delete()
    Product.objects.filter(title__contains="Band 2").delete()
    people[-1].delete()
    Category.objects.get(name="Essential programming").delete()
    Basket.objects.filter(date_created__lt=dt.datetime.now(dt.timezone.utc)).filter(status="Open").delete()
    call_command("clearsessions")
